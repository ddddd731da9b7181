"""The reference model and its towers: interface, sizes, and that frozen means frozen."""

import copy
import subprocess
import sys

import pytest
import torch
from torch import nn

import zoo
from zoo.clip import CLIP, CLIPImageEncoder, CLIPTextEncoder
from zoo.heads.linear import LinearHead


@pytest.fixture(scope="module")
def reference() -> CLIP:
    return zoo.build("resnet50-clip", pretrained=False)


def batch(count: int = 32):
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(count, 3, 224, 224, generator=generator)
    input_ids = torch.randint(0, 49408, (count, 77), generator=generator)
    return images, input_ids, torch.ones_like(input_ids)


def test_parameter_counts(reference, capsys):
    assert sum(p.numel() for p in reference.get_trainable_parameters()) == 28_753_472
    assert sum(p.numel() for p in reference.parameters() if not p.requires_grad) == 63_428_096
    reference.print_parameter_summary()
    said = capsys.readouterr().out
    assert "28,753,472" in said
    assert "63,428,096" in said
    assert "31%" in said


def test_the_reference_example(reference):
    reference.eval()
    with torch.no_grad():
        image_embeds, text_embeds = reference(*batch())
    for embeds in (image_embeds, text_embeds):
        assert embeds.shape == (32, 512)
        torch.testing.assert_close(embeds.norm(dim=-1), torch.ones(32))


def test_the_reference_architecture(reference):
    """The image side, step by step, by hand."""
    reference.eval()
    images = batch(2)[0]
    tower = reference.image_encoder
    with torch.no_grad():
        hidden = tower.encoder(images)
        assert hidden.shape == (2, 2048)
        hidden = hidden @ tower.head.fc1.weight.T + tower.head.fc1.bias
        hidden = 0.5 * hidden * (1 + torch.erf(hidden / 2**0.5))
        hidden = hidden @ tower.head.fc2.weight.T + tower.head.fc2.bias
        by_hand = hidden / hidden.pow(2).sum(-1, keepdim=True).sqrt()
        torch.testing.assert_close(reference.encode_image(images), by_hand)
    assert tower.head.fc1.weight.shape == (2048, 2048)
    assert tower.head.fc2.weight.shape == (512, 2048)


def test_frozen_means_frozen(reference):
    model = reference.train()
    assert model.training
    assert model.image_encoder.encoder.training
    assert not any(module.training for module in model.text_encoder.encoder.modules())
    images, input_ids, mask = batch(4)
    image_embeds, text_embeds = model(images, input_ids, mask)
    assert not text_embeds.requires_grad
    model.loss(image_embeds, text_embeds).backward()
    assert all(p.grad is None for p in model.text_encoder.parameters())
    assert all(p.grad is not None for p in model.image_encoder.parameters())
    frozen = set(map(id, model.text_encoder.parameters()))
    assert not frozen & set(map(id, model.get_trainable_parameters()))
    model.zero_grad()


def test_batch_norm_of_a_frozen_encoder_never_moves():
    model = zoo.build(
        "resnet50-clip",
        pretrained=False,
        towers=("image",),
        overrides={"image.encoder": "torchvision/resnet18", "image.train": "head"},
    )
    before = copy.deepcopy(model.image_encoder.encoder.state_dict())
    model.train()
    embeds = model.encode_image(torch.randn(4, 3, 64, 64))
    assert embeds.requires_grad
    embeds.sum().backward()
    for name, tensor in model.image_encoder.encoder.state_dict().items():
        assert torch.equal(tensor, before[name]), name
    assert {name for name, p in model.named_parameters() if p.grad is not None} == {
        f"image_encoder.head.{name}"
        for name in ("fc1.weight", "fc1.bias", "fc2.weight", "fc2.bias")
    }


class Double(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 4)

    def forward(self, images):
        return self.linear(images.mean((2, 3)))


@pytest.mark.parametrize(
    ("mode", "trains"),
    [("full", {"encoder", "head"}), ("head", {"head"}), ("frozen", set())],
)
def test_train_modes(mode, trains):
    tower = CLIPImageEncoder(Double(), LinearHead(in_dim=4, out_dim=4), mode).train()
    trainable = {name.split(".")[0] for name, p in tower.named_parameters() if p.requires_grad}
    assert trainable == trains
    embeds = tower(torch.rand(2, 3, 5, 5, requires_grad=True))
    assert embeds.requires_grad == bool(trains)


def test_the_towers_have_the_designs_names(reference):
    assert type(reference.image_encoder) is CLIPImageEncoder
    assert type(reference.text_encoder) is CLIPTextEncoder


def test_the_loss_goes_along_but_is_no_part_of_the_towers(reference):
    assert not any("loss" in name for name in reference.state_dict())
    moved = copy.deepcopy(reference).to(torch.float64)
    assert next(moved.loss.parameters()).dtype == torch.float64
    assert next(reference.loss.parameters()).dtype == torch.float32


def test_a_loss_put_in_later_is_no_part_either():
    from zoo.losses.info_nce import InfoNCELoss

    model = CLIP(None, None)
    model.loss = InfoNCELoss()
    assert model.get_trainable_parameters() == []
    assert model.to(torch.float64).loss.logit_scale.dtype == torch.float64


def test_embed_images_leaves_the_mode_as_it_was(pictures):
    model = zoo.build(
        "resnet50-clip",
        pretrained=False,
        towers=("image",),
        overrides={"image.encoder": "torchvision/resnet18"},
    ).train()
    model.image_encoder.encoder.eval()
    modes = [module.training for module in model.modules()]
    embeds = model.embed_images(pictures, batch_size=5)
    assert embeds.shape == (12, 512)
    assert not embeds.requires_grad
    assert [module.training for module in model.modules()] == modes
    from PIL import Image

    again = model.embed_images([Image.open(path) for path in pictures], batch_size=12)
    torch.testing.assert_close(embeds, again)
    assert model.embed_images([]).shape == (0, 512)
    torch.testing.assert_close(model.embed_images(str(pictures[0])), embeds[:1])
    with pytest.raises(zoo.ZooError, match="batch_size is 1 or more, not 0"):
        model.embed_images(pictures, batch_size=0)


@pytest.mark.long
def test_create_clip_model(clip_in_hub_cache, resnet50_in_torch_hub):
    model = zoo.create_clip_model(device="cpu")
    assert sum(p.numel() for p in model.get_trainable_parameters()) == 28_753_472
    text_only_cached = zoo.create_clip_model(use_cached_embeddings=True)
    assert text_only_cached.text_encoder is None
    with pytest.raises(zoo.ZooError, match="without its text tower"):
        text_only_cached.embed_texts(["a cat"])
    embeds = model.embed_texts(["a photo of a cat", "a photo of a dog, asleep"])
    torch.testing.assert_close(embeds.norm(dim=-1), torch.ones(2))


def test_images_of_the_wrong_shape():
    """In a process of its own, where annotations are not checked: as a user meets it."""
    code = (
        "import torch, zoo\n"
        "overrides = {'image.encoder': 'timm/test_resnet'}\n"
        "model = zoo.build('resnet50-clip', pretrained=False, towers=['image'], overrides=overrides)\n"
        "model.encode_image(torch.rand(64, 64, 3))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "DataError: images are (batch, 3, height, width), not (64, 64, 3)" in done.stderr

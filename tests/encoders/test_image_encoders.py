"""torchvision and timm behind one contract: features, preprocessing, weights."""

import os
import shutil
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torchvision import models

import zoo
from zoo.encoders import timm_image, torchvision_image
from zoo.errors import UnknownNameError, WeightsError


@pytest.mark.parametrize(
    ("architecture", "width"),
    [
        ("resnet18", 512), ("alexnet", 4096), ("densenet121", 1024), ("mobilenet_v3_small", 1024),
        ("efficientnet_b0", 1280), ("shufflenet_v2_x0_5", 1024), ("squeezenet1_1", 512),
        ("regnet_y_400mf", 440), ("mnasnet0_5", 1280),
    ],
)  # fmt: skip
def test_torchvision_features(architecture, width):
    encoder = torchvision_image.create(architecture, weights=None).eval()
    assert encoder.out_dim == width
    with torch.no_grad():
        assert encoder(torch.rand(2, 3, 224, 224)).shape == (2, width)


@pytest.mark.long
@pytest.mark.parametrize("architecture", ["vit_b_32", "swin_t", "googlenet", "inception_v3"])
def test_torchvision_features_of_larger_families(architecture):
    encoder = torchvision_image.create(architecture, weights=None).eval()
    side = 299 if architecture == "inception_v3" else 224
    with torch.no_grad():
        assert encoder(torch.rand(2, 3, side, side)).shape == (2, encoder.out_dim)
    encoder.train()
    assert encoder(torch.rand(2, 3, side, side)).shape == (2, encoder.out_dim)


def test_every_torchvision_architecture_has_a_classifier_to_drop():
    for architecture in models.list_models(module=models, exclude="regnet*"):  # not made for meta
        with torch.device("meta"):
            assert torchvision_image.create(architecture, weights=None).out_dim > 0, architecture


def test_features_are_what_the_classifier_sees(resnet50_in_torch_hub):
    encoder = torchvision_image.create("resnet50", weights="IMAGENET1K_V2").eval()
    whole = models.resnet50()
    whole.load_state_dict(torch.load(resnet50_in_torch_hub, weights_only=True))
    whole.eval()
    images = torch.rand(2, 3, 224, 224)
    with torch.no_grad():
        torch.testing.assert_close(whole.fc(encoder(images)), whole(images))
    assert encoder.weights_source.file == "resnet50-11ad3fa6.pth"
    assert encoder.weights_source.tag == "IMAGENET1K_V2"


def test_damaged_and_foreign_checkpoints(resnet50_in_torch_hub):
    whole = resnet50_in_torch_hub.read_bytes()
    try:
        resnet50_in_torch_hub.write_bytes(whole[: len(whole) // 2])
        with pytest.raises(
            WeightsError,
            match=r"resnet50-11ad3fa6.pth: not a whole weights file \(.* bytes\): .*Delete it",
        ):
            torchvision_image.create("resnet50", weights="IMAGENET1K_V2")
        torch.save(models.resnet18().state_dict(), resnet50_in_torch_hub)
        with pytest.raises(WeightsError, match=r"do not fit the model: missing layer1.0.bn3.bias,"):
            torchvision_image.create("resnet50", weights="IMAGENET1K_V2")
    finally:
        resnet50_in_torch_hub.write_bytes(whole)


def test_weights_that_cannot_be_downloaded():
    with pytest.raises(
        WeightsError,
        match=r"resnet18-f37072fd.pth is not in .*checkpoints and cannot be downloaded from http",
    ):
        torchvision_image.create("resnet18")


def picture(width: int, height: int) -> Image.Image:
    generator = torch.Generator().manual_seed(width)
    pixels = torch.randint(0, 256, (height, width, 3), dtype=torch.uint8, generator=generator)
    return Image.fromarray(pixels.numpy())


@pytest.mark.parametrize("size", [(300, 200), (224, 224), (100, 180)])
def test_preprocessing_is_torchvisions_own(size):
    theirs = models.ResNet50_Weights.IMAGENET1K_V2.transforms()
    ours = torchvision_image.create("resnet50", weights=None).preprocess
    assert torch.equal(ours(picture(*size)), theirs(picture(*size)))


@pytest.mark.parametrize("size", [(300, 200), (224, 224), (100, 180)])
@pytest.mark.parametrize(
    "architecture", ["resnet18", "vit_tiny_patch16_224", "tf_efficientnet_lite0"]
)
def test_preprocessing_is_timms_own(architecture, size):
    encoder = timm_image.create(architecture, weights=None)
    theirs = timm.data.create_transform(**timm.data.resolve_model_data_config(encoder.backbone))
    assert torch.equal(encoder.preprocess(picture(*size)), theirs(picture(*size)))


def test_preprocessing_with_another_size():
    encoder = timm_image.create("resnet18", weights=None, image_size=96)
    assert encoder.preprocess.crop == (96, 96)
    encoder = timm_image.create("vit_tiny_patch16_224", weights=None, image_size=96)
    assert encoder(encoder.preprocess(picture(50, 60))[None]).shape == (1, 192)


@pytest.mark.parametrize(
    "architecture", ["resnet18", "mobilenetv4_conv_small", "vit_tiny_patch16_224"]
)
def test_timm_features(architecture):
    encoder = timm_image.create(architecture, weights=None).eval()
    whole = timm.create_model(architecture).eval()
    whole.load_state_dict(encoder.backbone.state_dict(), strict=False)
    images = torch.rand(2, 3, 224, 224)
    with torch.no_grad():
        features = encoder(images)
        assert features.shape == (2, encoder.out_dim)
        torch.testing.assert_close(whole.get_classifier()(features), whole(images))


def test_timm_names_and_tags():
    with pytest.raises(UnknownNameError, match=r"timm has no architecture 'resnt18'. Did you mean"):
        timm_image.create("resnt18")
    with pytest.raises(
        UnknownNameError, match=r"resnet18 has no weights 'a9_in1k'; it has .*a1_in1k"
    ):
        timm_image.create("resnet18.a9_in1k")
    with pytest.raises(WeightsError, match="hf download timm/resnet18"):
        timm_image.create("resnet18.a1_in1k")


@pytest.fixture
def timm_in_hub_cache():
    """`timm/test_resnet.r160_in1k` as the hub lays it out, with seeded weights."""
    folder = Path(os.environ["HF_HOME"], "hub", "models--timm--test_resnet.r160_in1k")
    snapshot = folder / "snapshots" / "main-commit"
    snapshot.mkdir(parents=True)
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text("main-commit")
    torch.manual_seed(1)
    state = timm.create_model("test_resnet").state_dict()
    save_file(state, snapshot / "model.safetensors")
    yield snapshot / "model.safetensors"
    shutil.rmtree(folder)


def test_timm_weights(timm_in_hub_cache):
    encoder = timm_image.create("test_resnet").eval()
    whole = timm.create_model("test_resnet", pretrained=True).eval()
    images = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(whole.get_classifier()(encoder(images)), whole(images))
    assert encoder.weights_source.tag == "r160_in1k"


def test_timm_weights_are_of_the_file_that_is_recorded(timm_in_hub_cache, tmp_path, monkeypatch):
    """Though the repository has a safetensors file besides by now, which timm would prefer."""
    state = load_file(timm_in_hub_cache)
    newer = timm_in_hub_cache.rename(tmp_path / "newer.safetensors")
    save_file({name: tensor + 1 for name, tensor in state.items()}, newer)
    torch.save(state, timm_in_hub_cache.with_name("pytorch_model.bin"))
    monkeypatch.setattr(timm.models._hub, "hf_hub_download", lambda *_, **__: str(newer))
    encoder = timm_image.create("test_resnet")
    assert (encoder.weights_source.file, encoder.weights_source.revision) == (
        "pytorch_model.bin",
        "main-commit",
    )
    torch.testing.assert_close(
        encoder.backbone.state_dict()["conv1.0.weight"], state["conv1.0.weight"]
    )
    assert "state_dict" not in encoder.backbone.pretrained_cfg


def test_a_compressed_checkpoint_by_url_is_refused():
    url = timm.get_pretrained_cfg("gcvit_xxtiny").url
    path = Path(os.environ["TORCH_HOME"], "hub", "checkpoints", url.rpartition("/")[2])
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", b"x" * 1000)
    try:
        with pytest.raises(WeightsError, match=r"'archive/data.pkl' is compressed"):
            timm_image.create("gcvit_xxtiny")
    finally:
        path.unlink()


def test_timm_weights_that_do_not_fit(timm_in_hub_cache):
    state = {key: tensor.clone() for key, tensor in load_file(timm_in_hub_cache).items()}
    name = "conv1.0.weight"
    save_file({key: value for key, value in state.items() if key != name}, timm_in_hub_cache)
    with pytest.raises(
        WeightsError, match=r"'test_resnet' from the repository .* do not fit the model"
    ):
        timm_image.create("test_resnet")
    save_file({**state, name: torch.ones(3)}, timm_in_hub_cache)
    with pytest.raises(WeightsError, match="do not fit the model"):
        timm_image.create("test_resnet")
    save_file(state, timm_in_hub_cache)
    timm_in_hub_cache.write_bytes(timm_in_hub_cache.read_bytes()[:-100])
    with pytest.raises(WeightsError, match=r"are damaged: .*Delete the cached file"):
        timm_image.create("test_resnet")


def test_vision_transformers_take_the_size_of_their_weights(monkeypatch, tmp_path):
    tag = models.ViT_B_16_Weights.IMAGENET1K_SWAG_E2E_V1
    assert torchvision_image.create("vit_b_16", weights=None, image_size=64).preprocess.crop == (
        64,
        64,
    )
    state = models.vit_b_16(image_size=384).state_dict()
    torch.save(state, tmp_path / "vit.pth")
    monkeypatch.setattr(torchvision_image, "cached_checkpoint", lambda url: tmp_path / "vit.pth")
    encoder = torchvision_image.create("vit_b_16", weights=tag.name)
    assert encoder.preprocess.crop == (384, 384)
    assert encoder.resolved_args == {"image_size": 384}


@pytest.mark.parametrize(
    ("name", "places", "mean_is_pooled"),
    [
        ("torchvision/resnet18", 49, True),
        ("torchvision/regnet_y_400mf", 49, True),
        ("torchvision/shufflenet_v2_x0_5", 49, True),
        ("torchvision/googlenet", 49, True),
        ("torchvision/inception_v3", 64, True),
        ("torchvision/mnasnet0_5", 49, True),
        ("torchvision/densenet121", 49, True),
        ("torchvision/mobilenet_v2", 49, True),
        ("torchvision/mobilenet_v3_small", 49, False),
        ("torchvision/efficientnet_b0", 49, True),
        ("torchvision/squeezenet1_1", 169, True),
        ("torchvision/alexnet", 36, False),
        ("torchvision/swin_t", 49, True),
        ("torchvision/maxvit_t", 49, False),
        ("torchvision/vit_b_32", 49, False),
        ("timm/resnet10t", 36, True),
        ("timm/vit_tiny_patch16_224", 196, False),
        ("timm/deit_tiny_distilled_patch16_224", 196, False),
        ("timm/swin_tiny_patch4_window7_224", 49, True),
        ("timm/mobilenetv4_conv_small", 49, False),
        ("timm/volo_d1_224", 196, False),
    ],
)
def test_features_before_pooling(name, places, mean_is_pooled):
    """A vector a place, without class tokens; where an architecture takes the mean, so do we."""
    encoder = build_encoder(name)
    images = torch.randn(2, 3, *encoder.preprocess.crop)
    with torch.no_grad():
        tokens, pooled = encoder.forward_tokens(images), encoder(images)
    assert tokens.shape[:2] == (2, places)
    if mean_is_pooled:
        torch.testing.assert_close(tokens.mean(1), pooled, atol=1e-5, rtol=1e-5)


def test_features_before_pooling_in_two_threads():
    encoder = build_encoder("torchvision/resnet18")
    pictures = [torch.randn(1, 3, 64, 64) for _ in range(8)]
    with torch.no_grad():
        alone = [encoder.forward_tokens(each) for each in pictures]

    def tokens(images):
        with torch.no_grad():
            return encoder.forward_tokens(images)

    with ThreadPoolExecutor(4) as threads:
        together = list(threads.map(tokens, pictures))
    for one, other in zip(alone, together, strict=True):
        torch.testing.assert_close(one, other)


def build_encoder(name):
    model = zoo.build(
        "resnet50-clip", pretrained=False, overrides={"image.encoder": name}, towers=["image"]
    )
    return model.eval().image_encoder.encoder

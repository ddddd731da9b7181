"""Checkpoints in files of one's own: the embeddings that open_clip gives, or a refusal."""

import open_clip
import pytest
import torch
from safetensors.torch import save_file

import zoo
from zoo.errors import UnknownNameError, WeightsError
from zoo_openclip.interchange import from_checkpoint

SMALL = "small-ViT-B-32"
TEXTS = ["a cat", "two dogs & a pizza 🍕", ""]

pytestmark = pytest.mark.usefixtures("small_configs")


def theirs(**options):
    torch.manual_seed(4)
    model = open_clip.create_model(SMALL, load_weights=False, **options).eval()
    with torch.no_grad():
        model.logit_scale.fill_(4.2)
    return model


def write(model, path, layout):
    state = model.state_dict()
    if layout == "safetensors":
        save_file({name: each.contiguous() for name, each in state.items()}, path)
    elif layout == "of training":
        wrapped = {f"module.{name}": each for name, each in state.items()}
        torch.save({"epoch": 3, "name": "mine", "state_dict": wrapped}, path)
    else:
        numbers = {"input_resolution": 224, "context_length": 77, "vocab_size": 49408}
        numbers = {name: torch.tensor(number) for name, number in numbers.items()}
        torch.save({**numbers, **state}, path)


@pytest.mark.parametrize("layout", ["safetensors", "of training", "OpenAI's"])
def test_the_same_embeddings(layout, tmp_path):
    reference = theirs(force_quick_gelu=layout == "OpenAI's")
    path = tmp_path / ("x.safetensors" if layout == "safetensors" else "x.pt")
    write(reference, path, layout)
    model = from_checkpoint(path, SMALL).eval()
    pixels = torch.randn(2, 3, 224, 224)
    with torch.no_grad():
        images = reference.encode_image(pixels, normalize=True)
        texts = reference.encode_text(open_clip.get_tokenizer(SMALL)(TEXTS), normalize=True)
        torch.testing.assert_close(model.encode_image(pixels), images, atol=1e-5, rtol=0)
    torch.testing.assert_close(model.embed_texts(TEXTS), texts, atol=1e-5, rtol=0)
    assert model.loss.logit_scale.item() == reference.logit_scale.item()
    assert model.provenance["text.encoder"]["weights"]["file"] == path.name
    saved = zoo.save(model, tmp_path / "model")
    path.unlink()
    again = zoo.load(saved).eval()
    assert torch.equal(again.embed_texts(TEXTS), model.embed_texts(TEXTS))
    assert again.provenance == model.provenance


def test_a_checkpoint_with_a_bias_gets_the_sigmoid_loss(tmp_path):
    state = theirs().state_dict() | {"logit_bias": torch.tensor(-9.5)}
    torch.save(state, tmp_path / "x.pt")
    loss = from_checkpoint(tmp_path / "x.pt", SMALL).loss
    assert loss.logit_bias.item() == -9.5
    assert loss.logit_scale.item() == state["logit_scale"].item()


@pytest.mark.usefixtures("tokenizers_in_hub")
def test_a_tokenizer_of_a_repository_is_saved(tmp_path, cache):
    tower = {"encoder": "openclip/small-ViT-B-16-SigLIP", "weights": "none", "head": "linear"}
    model = zoo.build({"embedding_dim": 8, "image": tower, "text": tower}, towers=["text"])
    folder = zoo.save(model, tmp_path / "model", self_contained=True)
    repository = cache / "models--timm--ViT-B-16-SigLIP"
    repository.rename(tmp_path / "away")
    try:
        again = zoo.load(folder)
    finally:
        (tmp_path / "away").rename(repository)
    assert torch.equal(again.embed_texts(TEXTS), model.embed_texts(TEXTS))


def test_what_does_not_fit(tmp_path):
    path = tmp_path / "x.pt"
    with pytest.raises(WeightsError, match=r"x.pt: there is no such checkpoint"):
        from_checkpoint(path, SMALL)
    with pytest.raises(UnknownNameError, match=r"open_clip has no config 'ViT-B-23'.*'ViT-B-32'"):
        from_checkpoint(path, "ViT-B-23")
    state = theirs().state_dict()
    torch.save({name: each for name, each in state.items() if "ln_post" not in name}, path)
    with pytest.raises(WeightsError, match=r"the visual tower of .* missing ln_post"):
        from_checkpoint(path, SMALL)
    torch.save({name: each for name, each in state.items() if name != "logit_scale"}, path)
    with pytest.raises(WeightsError, match=r"has no logit_scale, so it is no checkpoint of both"):
        from_checkpoint(path, SMALL)


@pytest.mark.filterwarnings("ignore:.*torch.jit")
def test_a_program_is_not_run(tmp_path):
    path = tmp_path / "ViT-B-32.pt"
    torch.jit.save(torch.jit.trace(torch.nn.Linear(2, 2), torch.ones(1, 2)), path)
    with pytest.raises(WeightsError, match=r'is a program \(TorchScript\), .* tag "openai"'):
        from_checkpoint(path, SMALL)

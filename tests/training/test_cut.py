"""A tower cut where it begins to train: the same numbers, and what stands still runs once."""

import pytest
import torch

from zoo.evaluation.judge import Judge
from zoo.recipe import Recipe
from zoo.training.cut import cut
from zoo.training.loop import train

LAST = {"last": 1}


def weights(model):
    return torch.cat([each.detach().flatten() for each in model.parameters()])


@pytest.fixture
def images():
    return torch.rand(3, 3, 64, 64, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(
    "encoder", ["timm/test_resnet", "timm/test_efficientnet", "torchvision/resnet18"]
)
def test_the_halves_are_the_whole(model, images, encoder):
    whole = model(LAST, changes={"image.encoder": encoder}).eval()
    made = cut(whole, Recipe())
    assert made is not whole
    assert made.image_encoder.frozen_parts == ("encoder",)
    assert torch.equal(made.encode_image(images), whole.encode_image(images))
    maps = made.image_encoder.features(images)
    assert maps.ndim == 4
    assert not maps.requires_grad


def test_the_same_parameters_train_at_the_same_rates(model):
    whole = model(LAST)
    made = cut(whole, Recipe())
    ours = {id(each) for each in made.get_trainable_parameters()}
    assert ours == {id(each) for each in whole.get_trainable_parameters()}
    groups = [
        {
            group["name"]: (group["lr"], sum(each.numel() for each in group["params"]))
            for group in each.parameter_groups(1e-3, 0.1, backbone_scale=0.1, layer_decay=0.5)
        }
        for each in (whole, made)
    ]
    assert groups[0] == groups[1]
    assert any(name.startswith("image.encoder") for name in groups[0])


@pytest.mark.parametrize("batch_norm", ["train", "frozen"])
def test_training_is_the_same(model, pairs, recipe, batch_norm):
    trained = []
    for cutting in (False, True):
        built = model(LAST, changes={"image.head.args.dropout": 0.3})
        asked = recipe(epochs=6, batch_norm=batch_norm)
        train(cut(built, asked) if cutting else built, pairs, asked)
        trained.append(weights(built))
    torch.testing.assert_close(*trained, rtol=1e-4, atol=1e-5)
    assert not torch.equal(trained[0], weights(model(LAST)))


def test_what_stands_still_runs_once_for_each_picture(model, pairs, recipe):
    built = model(LAST)
    rows = []
    convs = [each for each in built.image_encoder.modules() if isinstance(each, torch.nn.Conv2d)]
    convs[0].register_forward_hook(lambda module, args, output: rows.append(len(output)))
    made = cut(built, Recipe())
    rows.clear()
    train(made, pairs, recipe(epochs=4))
    assert sum(rows) <= 16 * 2  # a batch of the caches' own size, and once more to compare
    before = len(rows)
    Judge(made, pairs).recall()
    assert len(rows) <= before + 2
    again = cut(model(LAST), Recipe())
    assert again.image_encoder.training


def test_the_frozen_stay_in_eval_mode_and_the_rest_follows(model):
    built = model(LAST)
    made = cut(built, Recipe()).train()
    block = built.image_encoder.encoder.backbone.layer4
    assert all(each.training for each in block.modules())
    assert not any(each.training for each in built.image_encoder.encoder.backbone.layer1.modules())
    made.eval()
    assert not any(each.training for each in block.modules())


@pytest.mark.parametrize(
    ("mode", "given", "encoder"),
    [
        ("full", {}, "timm/test_resnet"),
        ("head", {}, "timm/test_resnet"),
        ("frozen", {}, "timm/test_resnet"),
        (LAST, {"augmentation": {"flip": 0.5}}, "timm/test_resnet"),
        (LAST, {"compile": True}, "timm/test_resnet"),
        (LAST, {}, "timm/test_vit"),
        ({"last": 1}, {}, "torchvision/densenet121"),  # its blocks hand lists on
    ],
)
def test_what_is_left_whole(model, mode, given, encoder):
    whole = model(mode, changes={"image.encoder": encoder})
    made = cut(whole, Recipe.model_validate(given))
    assert made is whole

"""What hooks may return. More ways to get it wrong are in the menagerie."""

from types import ModuleType

import pytest

from zoo import HookedComponent, hookimpl
from zoo.errors import RegistryError
from zoo.registry import Origin
from zoo.registry.hooks import components_of_hooks

ORIGIN = Origin("plugin", "zoo-mine", "1.0")


def nothing():
    """A hook function of its own, without the mark."""

    def hook():
        return []

    return hook


def module(**functions) -> ModuleType:
    made = ModuleType("mine")
    for name, function in functions.items():
        setattr(made, name, function)
    return made


def returning(value) -> ModuleType:
    return module(zoo_losses=hookimpl(lambda: value))


def test_components_of_both_kinds():
    found = components_of_hooks(
        module(
            zoo_losses=hookimpl(lambda: [HookedComponent("a", "m:A", "a loss\nof two  lines")]),
            zoo_projection_heads=hookimpl(lambda: (HookedComponent("b", "m:B", "", "c"),)),
        ),
        ORIGIN,
    )
    assert [(each.kind, each.name, each.target) for each in found] == [
        ("projection_heads", "b", "m:B"),
        ("losses", "a", "m:A"),
    ]
    assert found[0].deprecated == "c"
    assert found[1].summary == "a loss of two lines"
    assert components_of_hooks(returning([]), ORIGIN) == []


@pytest.mark.parametrize(
    ("returned", "reason"),
    [
        (None, r"zoo_losses\(\) returned None; it returns a list of HookedComponent"),
        ({"a": 1}, r"zoo_losses\(\) returned {'a': 1}; it returns a list"),
        (
            [HookedComponent("mine", "m:A", 5)],
            r"zoo_losses\(\): the summary of HookedComponent\(name='mine'.* is not text",
        ),
        ([HookedComponent("mine", "m:A", "", None)], r"the deprecated of .* is not text"),
        (
            [HookedComponent("My Loss", "m:A", "")],
            r"zoo_losses\(\): loss name 'My Loss' is not legal",
        ),
        (
            [HookedComponent("mine", "m:" + "A" * 500, "")],
            r"zoo_losses\(\): the target 'm:AAA.*A' is longer than 500 characters",
        ),
    ],
)
def test_wrong_answers(returned, reason):
    with pytest.raises(RegistryError, match=reason):
        components_of_hooks(returning(returned), ORIGIN)


def test_a_hook_without_its_mark_beside_one_with_it():
    made = module(zoo_losses=nothing(), zoo_projection_heads=hookimpl(nothing()))
    with pytest.raises(
        RegistryError, match=r"zoo_losses\(\) is not marked as a hook; write @hookimpl"
    ):
        components_of_hooks(made, ORIGIN)


def test_no_hook_names_the_nearest():
    with pytest.raises(
        RegistryError, match=r"has no hook; define .* Did you mean 'zoo_projection_heads'\?"
    ):
        components_of_hooks(module(zoo_projection_head=nothing()), ORIGIN)


def test_an_optional_hook_of_another_zoo_is_a_hook():
    later = hookimpl(optionalhook=True)(nothing())
    assert components_of_hooks(module(zoo_tokenizers=later), ORIGIN) == []

"""Cached features: what the encoder says, computed once, under a key of all that matters."""

from dataclasses import replace

import pytest
import torch
from PIL import Image

from zoo.errors import DataError
from zoo.training.features import image_features, text_features


def other_encoder(tower):
    return tower.model_copy(
        update={"encoder": tower.encoder.model_copy(update={"args": {"drop_rate": 0.5}})}
    )


class TestFeatures:
    def paths(self, pairs):
        return [pair.picture for pair in pairs]

    def test_they_are_what_the_encoder_says(self, model, pairs):
        built = model().eval()
        found = image_features(built, self.paths(pairs), precision="fp32")
        batch = torch.stack([built.preprocess(path) for path in self.paths(pairs)])
        with torch.no_grad():
            torch.testing.assert_close(found, built.image_encoder.encoder(batch))
        texts = ["a red picture", "blue"]
        with torch.no_grad():
            expected = built.text_encoder.encoder(**built.tokenize(texts))
        torch.testing.assert_close(text_features(built, texts, precision="fp32"), expected)

    def test_only_what_is_new_is_computed(self, model, pairs):
        computed = []

        def progress(title, done, total):
            computed.append((done, total))

        paths = self.paths(pairs)
        first = image_features(model(), paths[:5], progress)
        assert computed[-1] == (5, 5)
        computed.clear()
        again = image_features(model(), paths, progress)
        assert computed[-1] == (7, 7)
        assert torch.equal(first, again[:5])
        computed.clear()
        turned = image_features(model(), paths[::-1], progress)
        assert computed == []
        assert torch.equal(turned, again.flip(0))

    @pytest.mark.parametrize(
        "change",
        [
            lambda model: next(model.image_encoder.encoder.parameters()).data.mul_(2.0),
            lambda model: setattr(
                model.image_encoder.encoder,
                "preprocess",
                replace(model.image_encoder.encoder.preprocess, interpolation="nearest"),
            ),
            lambda model: setattr(
                model,
                "spec",
                model.spec.model_copy(update={"image": other_encoder(model.spec.image)}),
            ),
            lambda model: model.provenance["image.encoder"]["origin"].update(version="2.0"),
        ],
        ids=["weights", "preprocess", "arguments", "origin"],
    )
    def test_the_key_sees_every_change(self, model, pairs, change, tmp_path):
        paths = self.paths(pairs)[:2]
        image_features(model(), paths)
        image_features(model(), paths)
        cached = tmp_path / "zoo-cache" / "features"
        assert len(list(cached.iterdir())) == 1
        changed = model()
        change(changed)
        image_features(changed, paths)
        assert len(list(cached.iterdir())) == 2

    def test_an_encoder_that_trains_is_not_cached(self, model, pairs, tmp_path):
        image_features(model("full"), self.paths(pairs)[:2])
        assert not (tmp_path / "zoo-cache").exists()

    def test_a_damaged_file_is_computed_again(self, model, pairs, tmp_path):
        paths = self.paths(pairs)[:2]
        before = image_features(model(), paths)
        (file,) = (tmp_path / "zoo-cache").rglob("*.safetensors")
        file.write_bytes(file.read_bytes()[:-20])
        assert torch.equal(image_features(model(), paths), before)

    def test_another_picture_under_the_same_name(self, model, pairs):
        path = pairs[0].picture
        before = image_features(model(), [path])
        Image.new("RGB", (40, 40), "white").save(path)
        assert not torch.equal(image_features(model(), [path]), before)

    def test_the_training_mode_is_left_as_it_was(self, model, pairs):
        built = model("full").train()
        image_features(built, self.paths(pairs)[:2])
        assert built.image_encoder.encoder.training

    def test_an_unreadable_picture_is_named_and_nothing_is_kept(self, model, pairs, tmp_path):
        bad = tmp_path / "bad.png"
        bad.write_text("no picture")
        with pytest.raises(DataError, match=r"bad.png: not a whole picture"):
            image_features(model(), [*self.paths(pairs), bad])
        assert not list((tmp_path / "zoo-cache").rglob("*.safetensors"))
        with pytest.raises(DataError, match=r"absent.png: the picture cannot be read"):
            image_features(model(), [tmp_path / "absent.png"])

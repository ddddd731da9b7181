"""Augmentation: nothing but the seed decides, and without any it is the encoder's preprocessing."""

import math
import pickle
import random
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from PIL import Image
from pydantic import ValidationError
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as F

from zoo import Preprocess
from zoo.data.augment import (
    Augmentation,
    Augmenter,
    ColourJitter,
    Crop,
    Erasing,
    RandAugment,
    normalise,
    random_box,
)
from zoo.data.pictures import open_picture, read_part
from zoo.data.randaugment import OPERATIONS, randaugment
from zoo.errors import DataError, SpecError

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
EVERYTHING = Augmentation(
    crop=Crop(scale=(0.2, 1.0)),
    flip=0.5,
    colour_jitter=ColourJitter(brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1),
    randaugment=RandAugment(operations=2, magnitude=9),
    greyscale=0.2,
    erasing=Erasing(probability=0.5),
)


def preprocess(resize=40, crop=(32, 32), interpolation="bicubic"):
    return Preprocess(resize, crop, interpolation, MEAN, STD)


@pytest.fixture(scope="module")
def photo():
    rows = np.random.default_rng(0)
    coarse = Image.fromarray(rows.integers(0, 256, (9, 12, 3), dtype=np.uint8))
    return coarse.resize((120, 90), Image.Resampling.BICUBIC)


def as_tensor(picture):
    return F.pil_to_tensor(picture)


class TestWithout:
    @pytest.mark.parametrize("interpolation", ["nearest", "bilinear", "bicubic", "lanczos"])
    @pytest.mark.parametrize(
        ("resize", "crop"), [(40, (32, 32)), ((48, 30), (24, 28)), (20, (32, 36))]
    )
    def test_it_is_the_encoders_preprocessing(self, photo, interpolation, resize, crop):
        encoders = preprocess(resize, crop, interpolation)
        augmenter = Augmenter(encoders)
        for given in (photo, as_tensor(photo)):
            pixels = augmenter(given, 7)
            assert pixels.dtype == torch.uint8
            assert pixels.shape == (3, *crop)
            batch = torch.stack([pixels, pixels.flip(-1)])
            for laid in (batch, batch.contiguous(memory_format=torch.channels_last)):
                made = normalise(laid, encoders)
                assert made.stride() == laid.stride()
                assert torch.equal(made[0], encoders(photo))

    def test_normalisation_against_float64(self):
        pixels = torch.arange(256, dtype=torch.uint8).repeat(3, 1).reshape(1, 3, 16, 16)
        kept = pixels.clone()
        levels = np.arange(256).reshape(16, 16) / 255
        expected = np.stack([(levels - m) / s for m, s in zip(MEAN, STD, strict=True)])
        made = normalise(pixels, preprocess())
        assert made.dtype == torch.float32
        np.testing.assert_allclose(made[0].numpy(), expected, rtol=0, atol=1e-6)
        assert torch.equal(pixels, kept)

    def test_a_callable_of_somebody_gives_its_own_tensors(self, photo):
        def own(picture):
            return torch.full((5,), picture.width / 2)

        made = Augmenter(own)(photo, 0)
        assert made.tolist() == [60.0] * 5
        batch = torch.stack([made])
        assert normalise(batch, own) is batch
        with pytest.raises(
            SpecError, match=r"prepares pictures by a function of its own, not by a zoo\.Preprocess"
        ):
            Augmenter(own, Augmentation(flip=0.5))


class TestTheSeedDecides:
    def expected(self, photo):
        augmenter = Augmenter(preprocess(), EVERYTHING)
        return augmenter, [augmenter(photo, seed) for seed in range(40)]

    def test_seeds_differ(self, photo):
        _, made = self.expected(photo)
        assert len({tensor.numpy().tobytes() for tensor in made}) == 40

    def test_again_and_without_touching_torchs_generator(self, photo):
        augmenter, made = self.expected(photo)
        torch.manual_seed(11)
        random.seed(11)
        before, python = torch.get_rng_state(), random.getstate()
        again = [augmenter(photo, seed) for seed in range(40)]
        assert all(map(torch.equal, made, again))
        assert torch.equal(torch.get_rng_state(), before)
        assert random.getstate() == python

    def test_in_threads(self, photo):
        augmenter, made = self.expected(photo)
        with ThreadPoolExecutor(4) as pool:
            again = list(pool.map(lambda seed: augmenter(photo, seed), range(40)))
        assert all(map(torch.equal, made, again))

    @pytest.mark.filterwarnings("ignore:This DataLoader will create 4 worker processes")
    @pytest.mark.parametrize("workers", [0, 4])
    def test_in_processes(self, photo, workers):
        augmenter, made = self.expected(photo)
        loader = DataLoader(_Drawn(augmenter, photo), batch_size=8, num_workers=workers)
        assert torch.equal(torch.cat(list(loader)), torch.stack(made))

    def test_pickled(self, photo):
        augmenter, made = self.expected(photo)
        assert torch.equal(pickle.loads(pickle.dumps(augmenter))(photo, 3), made[3])


class _Drawn(Dataset):
    def __init__(self, augmenter, picture):
        self.augmenter, self.picture = augmenter, picture

    def __len__(self):
        return 40

    def __getitem__(self, seed):
        return self.augmenter(self.picture, seed)


class TestCrop:
    def test_boxes_keep_the_ranges_and_are_drawn_evenly(self):
        draw = random.Random(0)
        areas, shapes, centres = [], [], []
        for _ in range(4000):
            top, left, tall, wide = random_box(300, 400, (0.1, 0.4), (0.5, 2.0), draw)
            assert 0 <= top <= 300 - tall
            assert 0 <= left <= 400 - wide
            areas.append(tall * wide / 120_000)
            shapes.append(math.log(wide / tall))
            centres.append((top / max(300 - tall, 1), left / max(400 - wide, 1)))
        assert min(areas) > 0.1 - 0.003
        assert max(areas) < 0.4 + 0.003
        assert abs(np.mean(areas) - 0.25) < 0.01
        assert abs(np.mean(shapes)) < 0.03
        assert abs(min(shapes) - math.log(0.5)) < 0.02
        assert np.abs(np.mean(centres, 0) - 0.5).max() < 0.02

    def test_a_shape_that_never_fits_is_cut_from_the_centre(self):
        box = random_box(10, 1000, (1.0, 1.0), (0.75, 4 / 3), random.Random(0))
        assert box == (0, (1000 - 13) // 2, 10, 13)
        assert random_box(1000, 10, (1.0, 1.0), (0.5, 2.0), random.Random(0)) == (490, 0, 20, 10)

    @pytest.mark.parametrize("interpolation", ["nearest", "bilinear", "bicubic", "lanczos"])
    def test_the_part_is_resized_as_pillow_does_it(self, photo, interpolation):
        augmenter = Augmenter(preprocess(interpolation=interpolation), Augmentation(crop=Crop()))
        pixels = augmenter.cut(photo, (10, 20, 60, 70))
        way = getattr(Image.Resampling, interpolation.upper())
        theirs = photo.crop((20, 10, 90, 70)).resize((32, 32), way)
        difference = (pixels.int() - as_tensor(theirs).int()).abs()
        assert difference.max() <= (1 if interpolation in ("bilinear", "bicubic") else 0)
        assert torch.equal(augmenter.cut(as_tensor(photo), (10, 20, 60, 70)), pixels)

    def test_the_crop_is_where_the_box_says(self, photo):
        augmenter = Augmenter(preprocess(), Augmentation(crop=Crop(scale=(0.3, 0.6))))
        box = random_box(90, 120, (0.3, 0.6), (0.75, 4 / 3), random.Random(5))
        assert torch.equal(augmenter(photo, 5), augmenter.cut(photo, box))


class TestRead:
    """Reading a file is opening it and augmenting, only faster."""

    def way(self, **crop):
        return Augmenter(preprocess(), Augmentation(crop=Crop(**crop), flip=0.5))

    def saved(self, tmp_path, size=(120, 90), **options):
        coarse = Image.fromarray(
            np.random.default_rng(1).integers(0, 256, (6, 8, 3), dtype=np.uint8)
        )
        path = tmp_path / "a.jpg"
        coarse.resize(size, Image.Resampling.BICUBIC).save(path, quality=95, **options)
        return path

    @pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0}])
    @pytest.mark.parametrize("quick", [True, False])
    def test_a_jpeg_decoded_whole_is_the_same_to_the_bit(
        self, tmp_path, options, quick, monkeypatch
    ):
        if not quick:
            monkeypatch.setitem(sys.modules, "simplejpeg", None)
        path = self.saved(tmp_path, **options)
        for augmenter in (self.way(scale=(0.05, 0.1)), self.way(fast=False)):
            for seed in range(10):
                assert torch.equal(augmenter.read(path, seed), augmenter(open_picture(path), seed))

    def test_other_kinds_are_the_same_to_the_bit(self, tmp_path, photo):
        turned = photo.getexif()
        turned[274] = 6
        clear = photo.convert("RGBA")
        clear.putalpha(90)
        kinds = {"a.png": (clear, {}), "b.jpg": (photo.convert("L"), {}), "c.webp": (photo, {})}
        kinds |= {"d.jpg": (photo.convert("CMYK"), {}), "e.jpg": (photo, {"exif": turned})}
        augmenter = self.way(fast=False)
        for name, (picture, options) in kinds.items():
            picture.save(tmp_path / name, **options)
            made = augmenter.read(tmp_path / name, 3)
            assert torch.equal(made, augmenter(open_picture(tmp_path / name), 3)), name

    @pytest.mark.parametrize("turn", [1, 3, 6, 8])
    @pytest.mark.parametrize("size", [(600, 400), (803, 667), (1800, 1280)])
    def test_a_large_jpeg_decoded_smaller_shows_the_same(self, tmp_path, size, turn):
        exif = Image.Exif()
        exif[274] = turn
        path = self.saved(tmp_path, size, exif=exif)
        larger = preprocess(crop=(64, 64))
        fast, whole = (
            Augmenter(larger, Augmentation(crop=Crop(scale=(0.6, 1.0), fast=fast), flip=0.5))
            for fast in (True, False)
        )
        opened, apart = [], []
        for seed in range(8):
            made, expected = fast.read(path, seed), whole.read(path, seed)
            assert made.shape == expected.shape
            apart.append((made.int() - expected.int()).abs().float().mean().item())
            part, _ = read_part(path, lambda high, wide: (0, 0, high, wide), (64, 64))
            opened.append(part.size)
        turned = (made.int() - expected.flip(-1).int()).abs().float().mean().item()
        assert np.mean(apart) < 7  # a pixel of 64 further, at most
        assert turned > 15
        upright = size[::-1] if turn in (6, 8) else size
        times = {600: 4, 803: 8, 1800: 8}[size[0]]
        assert opened[0] == tuple(-(-side // times) for side in upright)

    def test_without_a_crop_and_with_a_callable_of_somebody(self, tmp_path, photo):
        path = self.saved(tmp_path)
        plain = Augmenter(preprocess()).read(path, 0)
        assert torch.equal(
            normalise(plain[None], preprocess())[0], preprocess()(open_picture(path))
        )
        assert Augmenter(lambda picture: torch.ones(picture.width)).read(path, 0).sum() == 120

    def test_what_is_refused_stays_refused(self, tmp_path, monkeypatch):
        path = self.saved(tmp_path)
        data = path.read_bytes()
        path.write_bytes(data[: len(data) // 2])
        with pytest.raises(DataError, match=r"a.jpg: the picture cannot be read: .*truncated"):
            self.way(fast=False).read(path, 0)
        path.write_bytes(b"nothing of the kind")
        with pytest.raises(DataError, match=r"a.jpg: not a whole picture"):
            self.way().read(path, 0)
        with pytest.raises(DataError, match=r"b.jpg: there is no such picture"):
            self.way().read(tmp_path / "b.jpg", 0)
        path.write_bytes(data)
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10_000)
        with pytest.raises(
            DataError, match=r"a.jpg: refused: Image size \(10800 pixels\) exceeds limit"
        ):
            self.way().read(path, 0)


class TestEach:
    def test_flip(self, photo):
        plain = Augmenter(preprocess())(photo, 0)
        assert torch.equal(
            Augmenter(preprocess(), Augmentation(flip=1.0))(photo, 0), plain.flip(-1)
        )
        half = Augmenter(preprocess(), Augmentation(flip=0.5))
        mirrored = sum(torch.equal(half(photo, seed), plain.flip(-1)) for seed in range(200))
        assert 70 < mirrored < 130

    def test_greyscale(self, photo):
        made = Augmenter(preprocess(), Augmentation(greyscale=1.0))(photo, 0)
        plain = Augmenter(preprocess())(photo, 0).double()
        grey = 0.299 * plain[0] + 0.587 * plain[1] + 0.114 * plain[2]
        assert (made[0].double() - grey).abs().max() < 1.05  # cut to whole levels
        assert torch.equal(made[0], made[1])
        assert torch.equal(made[0], made[2])

    def test_brightness_stays_in_its_range(self):
        grey = Image.new("RGB", (64, 64), (100, 100, 100))
        jitter = Augmentation(colour_jitter=ColourJitter(brightness=0.3))
        levels = [Augmenter(preprocess(), jitter)(grey, seed).max().item() for seed in range(300)]
        assert 70 <= min(levels) < 75
        assert 125 < max(levels) <= 130

    def test_hue_turns_in_its_range_and_the_order_is_drawn(self):
        red = Image.new("RGB", (64, 64), (255, 0, 0))
        turned = Augmentation(colour_jitter=ColourJitter(hue=0.1))
        for seed in range(30):
            made = Augmenter(preprocess(), turned)(red, seed)[:, 0, 0].tolist()
            assert made[0] == 255
            assert max(made[1:]) <= 154  # a tenth of the circle is 36 degrees: 255 * 36 / 60
        both = Augmenter(
            preprocess(), Augmentation(colour_jitter=ColourJitter(brightness=0.9, contrast=0.9))
        )
        draws = []
        for seed in range(50):
            draw = random.Random(seed)
            brightness, contrast = 0.1 + 1.8 * draw.random(), 0.1 + 1.8 * draw.random()
            first = int(draw.random() * 2)
            steps = [(F.adjust_brightness, brightness), (F.adjust_contrast, contrast)]
            steps = steps if first == 0 else steps[::-1]
            expected = Augmenter(preprocess())(red, 0)
            for change, amount in steps:
                expected = change(expected, amount)
            assert torch.equal(both(red, seed), expected)
            draws.append(first)
        assert 10 < sum(draws) < 40

    def test_erasing(self):
        white = Image.new("RGB", (64, 64), "white")
        erasing = Augmentation(erasing=Erasing(probability=1.0, scale=(0.1, 0.2)))
        for seed in range(20):
            made = Augmenter(preprocess(crop=(40, 40)), erasing)(white, seed)
            gone = (made != 255).any(0)
            assert made[:, gone].unique(dim=1).squeeze(1).tolist() == [124, 116, 104]
            assert 0.09 < gone.float().mean() < 0.21
            rows, columns = gone.any(1).sum(), gone.any(0).sum()
            assert gone.sum() == rows * columns
        blank = normalise(made[None], preprocess())[0][:, gone]
        assert blank.abs().max() < 0.01

    @pytest.mark.parametrize("magnitude", [0, 9, 30])
    def test_randaugment_is_torchvisions(self, photo, magnitude):
        theirs = v2.RandAugment(num_ops=1)
        space = theirs._AUGMENTATION_SPACE
        names = dict(zip(OPERATIONS, space, strict=True))
        pixels = as_tensor(photo)
        for ours, name in names.items():
            operation, signed = OPERATIONS[ours]
            magnitudes, their_signed = space[name]
            assert signed == their_signed
            values = magnitudes(31, *pixels.shape[-2:])
            for sign in (1, -1) if signed else (1,):
                value = 0.0 if values is None else sign * float(values[magnitude])
                expected = theirs._apply_image_or_video_transform(
                    pixels, name, value, interpolation=theirs.interpolation, fill=theirs._fill
                )
                made = operation(pixels, sign * magnitude / 30)
                # a threshold or an angle that is not a round number falls to either side
                assert (made.int() - expected.int()).abs().float().mean() < 0.5, ours
                if magnitude != 9:
                    assert torch.equal(made, expected), ours

    def test_randaugment_draws_every_operation(self, photo):
        pixels = as_tensor(photo)[:, :16, :16]
        made = {
            randaugment(pixels, RandAugment(operations=1, magnitude=30), random.Random(seed))
            .numpy()
            .tobytes()
            for seed in range(400)
        }
        either = {
            operation(pixels, sign * 1.0).numpy().tobytes()
            for operation, signed in OPERATIONS.values()
            for sign in ((1, -1) if signed else (1,))
        }
        assert made == either


class TestRefused:
    @pytest.mark.parametrize(
        ("given", "said"),
        [
            ({"crop": {"scale": [0.9, 0.1]}}, "goes from its lower end to its upper"),
            (
                {"crop": {"scale": [0.5, 1.5]}},
                "scale is a share of the picture, at most 1, not 1.5",
            ),
            ({"crop": {"ratio": [0.0, 1.0]}}, "greater than 0"),
            ({"crop": {"scale": ["0.5", 1.0]}}, "valid number"),
            ({"flip": 1.5}, "less than or equal to 1"),
            ({"flips": 0.5}, "Extra inputs are not permitted"),
            ({"colour_jitter": {"hue": 0.6}}, "less than or equal to 0.5"),
            ({"randaugment": {"operations": 0}}, "greater than or equal to 1"),
            ({"randaugment": {"magnitude": 31}}, "less than or equal to 30"),
            ({"erasing": {"probability": -1}}, "greater than or equal to 0"),
        ],
    )
    def test_settings(self, given, said):
        with pytest.raises(ValidationError, match=said):
            Augmentation.model_validate(given)

    def test_settings_as_toml_and_json_have_them(self):
        given = {"crop": {"scale": [0.2, 1]}, "erasing": {"ratio": [0.5, 2.0]}}
        made = Augmentation.model_validate(given)
        assert made.crop.scale == (0.2, 1.0)
        assert Augmentation.model_validate_json(EVERYTHING.model_dump_json()) == EVERYTHING
        assert EVERYTHING.active
        assert not Augmentation().active
        for section in (Augmentation, Crop, ColourJitter, RandAugment, Erasing):
            assert all(field.description for field in section.model_fields.values()), section

    @pytest.mark.parametrize(
        ("picture", "said"),
        [
            (Image.new("L", (8, 8)), "is in RGB, not L"),
            (torch.zeros(3, 8, 8), r"not torch.float32 of shape \(3, 8, 8\)"),
            (torch.zeros(1, 8, 8, dtype=torch.uint8), r"not torch.uint8 of shape \(1, 8, 8\)"),
            ("a.png", "not 'a.png'"),
        ],
    )
    def test_pictures(self, picture, said):
        with pytest.raises(DataError, match=said):
            Augmenter(preprocess())(picture, 0)

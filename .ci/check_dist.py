"""The built files hold what they should: data files in wheel and sdist, no tests in the wheel."""

import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

dist = Path(sys.argv[1])
(wheel,) = dist.glob("clip_zoo-*.whl")
(sdist,) = dist.glob("clip_zoo-*.tar.gz")
in_wheel = set(zipfile.ZipFile(wheel).namelist())
with tarfile.open(sdist) as archive:
    in_sdist = {name.partition("/")[2] for name in archive.getnames()}
assert {"zoo/registry.toml", "zoo/py.typed", "zoo/__init__.py"} <= in_wheel, in_wheel
templates = {name for name in in_wheel if name.startswith("zoo/scaffold/templates/")}
assert len(templates) == len(list(Path("zoo/scaffold/templates").rglob("*.tmpl"))), templates
assert not any(name.startswith(("tests/", "plugins/", "docs/")) for name in in_wheel), in_wheel
assert {"registry.toml", "zoo/py.typed", "README.md", "LICENSE", "pyproject.toml"} <= in_sdist, (
    in_sdist
)
(starter,) = dist.glob("zoo_starter-*.whl")
in_starter = {each.filename: each.compress_size for each in zipfile.ZipFile(starter).infolist()}
assert "zoo_starter/models.toml" in in_starter
models = tomllib.loads(Path("plugins/zoo-starter/zoo_starter/models.toml").read_text())["models"]
for name, model in models.items():
    if "trained" in model:
        held = {path: size for path, size in in_starter.items() if f"zoo_starter/{name}/" in path}
        files = {
            f"zoo_starter/{name}/{file}" for file in ("model.safetensors", "zoo.json", "README.md")
        }
        assert files <= set(held), (files, set(held))
        assert sum(held.values()) < 12_000_000, held
print(f"{wheel.name} and {sdist.name} hold what they should")

"""`python -m zoo.list`: the same as `zoo list`, in half the time, because it loads no other verb."""

import argparse
import sys

from zoo.cli.console import run
from zoo.cli.listing import KIND_HELP, PATTERN_HELP, STRICT_HELP, print_list

__all__: list[str] = []


def _main() -> None:
    parser = argparse.ArgumentParser("python -m zoo.list", description="List what is in the zoo.")
    parser.add_argument("pattern", nargs="?", help=PATTERN_HELP)
    parser.add_argument("--kind", help=KIND_HELP)
    parser.add_argument("--json", action="store_true", help="Print JSON.")
    parser.add_argument("--strict", action="store_true", help=STRICT_HELP)
    asked = parser.parse_args()
    sys.exit(print_list(asked.pattern, asked.kind, as_json=asked.json, strict=asked.strict))


if __name__ == "__main__":
    run(_main)

"""`python -m zoo`: the `zoo` command."""

from zoo.cli.main import main

main()

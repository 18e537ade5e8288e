"""``python -m photonic_acdc``: the command line."""

from photonic_acdc.cli.main import entry

if __name__ == "__main__":
    entry()

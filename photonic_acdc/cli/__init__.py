"""The command line, ``photonic-acdc``: thin; every command calls one public function."""

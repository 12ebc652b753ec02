"""gecalign: does preference learning help? Measured on grammatical error correction.

The modules, in the order in which data flows through them, are listed in CONTRIBUTING.md. Nothing is
imported here, so that `import gecalign` costs nothing.
"""

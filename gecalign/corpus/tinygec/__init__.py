"""TinyGEC: a generated corpus of learners' errors, and the base model that ships with it.

Explained in the appendix "TinyGEC and the tiny base".
"""

"""The sentences of TinyGEC: `sentences` draws one, of `clauses` and `phrases`, in the patterns of the others."""

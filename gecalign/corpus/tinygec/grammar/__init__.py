"""The sentences of TinyGEC: `grammar` draws one, from `clauses` and `phrases` in the patterns of the other modules."""

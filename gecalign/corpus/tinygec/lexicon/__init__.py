"""The words of TinyGEC: `lexicon` reads them, `words` and `verbs` inflect them, `tokens` joins them to a sentence."""

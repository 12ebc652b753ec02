"""The words of TinyGEC: `entries` reads them, `words` and `verbs` inflect them, `tokens` joins them to a sentence."""

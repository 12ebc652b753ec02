"""The mistakes of TinyGEC: `errors` draws them, the others make those of a part of speech, `changes` applies them."""

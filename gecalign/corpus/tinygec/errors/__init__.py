"""The mistakes of TinyGEC: `model` draws them, the others make those of a part of speech, `changes` applies them."""

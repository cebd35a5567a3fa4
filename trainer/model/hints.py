"""What is odd about a model, in a sentence each. Pure."""

from collections.abc import Mapping

NEVER_TRAINED = (
    "this model never saw training: its norms and biases are as they were made, so what it says is chance, and it "
    "takes many thousand hours of speech to teach it; begin with a trained one, such as openai/whisper-large-v3-turbo"
)


def model_hints(vocabulary: Mapping[str, int], *, never_trained: bool) -> list[str]:
    """What is odd about a model whose tokenizer has *vocabulary*, ids by token."""
    found = []
    if never_trained:
        found.append(NEVER_TRAINED)
    if "<|0.00|>" not in vocabulary:
        found.append("its tokenizer has no timestamp tokens: it can say what, but not when")
    return found

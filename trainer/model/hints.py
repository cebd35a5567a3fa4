"""What is odd about a model, in a sentence each. Pure."""

from collections.abc import Collection, Mapping

from trainer.model.generation import END

NEVER_TRAINED = (
    "this model never saw training: its norms and biases are as they were made, so what it says is chance, and it "
    "takes many thousand hours of speech to teach it; begin with a trained one, such as openai/whisper-large-v3-turbo"
)


_ASKED = (END, "<|startoftranscript|>", "<|transcribe|>", "<|translate|>", "<|startoflm|>", "<|startofprev|>")
_SILENCE = ("<|nospeech|>", "<|nocaptions|>")


def missing_tokens(vocabulary: Collection[str]) -> list[str]:
    """The tokens that faster-whisper asks every model for, and *vocabulary* lacks."""
    missing = [token for token in _ASKED if token not in vocabulary]
    return missing if any(token in vocabulary for token in _SILENCE) else [*missing, _SILENCE[0]]


def model_hints(vocabulary: Mapping[str, int], *, never_trained: bool) -> list[str]:
    """What is odd about a model whose tokenizer has *vocabulary*, ids by token."""
    found = []
    if never_trained:
        found.append(NEVER_TRAINED)
    if "<|0.00|>" not in vocabulary:
        found.append("its tokenizer has no timestamp tokens: it can say what, but not when")
    if missing := missing_tokens(vocabulary):
        found.append(f"its tokenizer has no {', '.join(missing)}: faster-whisper, which asks for them, will not run it")
    return found

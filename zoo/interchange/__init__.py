"""Models from other libraries, and to them: transformers, sentence-transformers, the hub."""

from zoo.interchange.from_huggingface import from_huggingface
from zoo.interchange.hub import from_pretrained, push_to_hub
from zoo.interchange.to_huggingface import to_huggingface
from zoo.interchange.to_sentence_transformers import to_sentence_transformers

__all__ = [
    "from_huggingface",
    "from_pretrained",
    "push_to_hub",
    "to_huggingface",
    "to_sentence_transformers",
]

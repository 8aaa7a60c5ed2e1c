"""Text: from characters to token ids and back, and the frame around a question.

tokenizer = load_tokenizer("FastVLM-0.5B")
recognise_template("FastVLM-0.5B", tokenizer)     # "chatml", or a clear error
ids = encode_chat(tokenizer, "What is on the table?")
stream = StreamDecoder(tokenizer, markers=False)  # stream.add(id) -> text
"""

from .chat import (
    CHATML,
    DEFAULT_SYSTEM,
    IMAGE_SENTINEL,
    chat_prompt,
    encode_chat,
    recognise_template,
)
from .loading import load_tokenizer
from .streaming import StreamDecoder
from .tokenizer import Tokenizer, TokenizerError

__all__ = [
    "CHATML",
    "DEFAULT_SYSTEM",
    "IMAGE_SENTINEL",
    "StreamDecoder",
    "Tokenizer",
    "TokenizerError",
    "chat_prompt",
    "encode_chat",
    "load_tokenizer",
    "recognise_template",
]

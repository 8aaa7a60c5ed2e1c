"""Text: from characters to token ids and back, and the frame around a question.

tokenizer = load_tokenizer("FastVLM-0.5B")
recognize_template("FastVLM-0.5B", tokenizer)     # "chatml", or a clear error
ids = encode_chat(tokenizer, "What is on the table?")
stream = StreamDecoder(tokenizer, markers=False)  # stream.add(id) -> text
tokenizer = train_byte_level(texts, 512)          # one of our own
save_tokenizer("directory", tokenizer)
"""

from .bpe.byte_level_bpe import ByteLevelBPE
from .bpe.byte_level_training import MARKERS, train_byte_level
from .bpe.byte_pairs import (
    bpe_decode,
    bpe_encode,
    bpe_encode_by_definition,
    bpe_train,
    bpe_train_by_definition,
)
from .bpe.word_cuts import split_words
from .chat import (
    CHATML,
    DEFAULT_SYSTEM,
    DESCRIBE,
    IMAGE_SENTINEL,
    chat_prompt,
    encode_chat,
    recognize_template,
)
from .errors import TokenizerError
from .loading import load_tokenizer
from .saving import save_tokenizer
from .streaming import StreamDecoder
from .tokenizer import Tokenizer
from .unigram.segmentation import (
    unigram_expected_counts,
    unigram_log_probability,
    unigram_n_best,
    unigram_sample,
    unigram_viterbi,
)
from .unigram.training import unigram_em_step, unigram_train

__all__ = [
    "CHATML",
    "DEFAULT_SYSTEM",
    "DESCRIBE",
    "IMAGE_SENTINEL",
    "MARKERS",
    "ByteLevelBPE",
    "StreamDecoder",
    "Tokenizer",
    "TokenizerError",
    "bpe_decode",
    "bpe_encode",
    "bpe_encode_by_definition",
    "bpe_train",
    "bpe_train_by_definition",
    "chat_prompt",
    "encode_chat",
    "load_tokenizer",
    "recognize_template",
    "save_tokenizer",
    "split_words",
    "train_byte_level",
    "unigram_em_step",
    "unigram_expected_counts",
    "unigram_log_probability",
    "unigram_n_best",
    "unigram_sample",
    "unigram_train",
    "unigram_viterbi",
]

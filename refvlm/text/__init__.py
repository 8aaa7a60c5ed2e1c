"""Text: from characters to token ids and back, and the frame around a question.

tokenizer = load_tokenizer("FastVLM-0.5B")
recognize_template("FastVLM-0.5B", tokenizer)     # "chatml", or a clear error
ids = encode_chat(tokenizer, "What is on the table?")
ids = read_frame("llava-1.5-7b-hf", tokenizer).encode("What is on the table?")
stream = StreamDecoder(tokenizer, markers=False)  # stream.add(id) -> text
tokenizer = train_unigram(texts, 512)             # one of our own
vocabulary = learn_unigram(texts, 512)            # the same, its pieces open to see
save_tokenizer("directory", tokenizer)            # or vocabulary

There are five kinds: byte_level (Qwen2), clip_bpe, word_piece (BERT), raw_bpe (LLaMA)
and unigram (SentencePiece), each with its `train_` and its `learn_`.
"""

from .bpe.byte_level_bpe import GPT2BPE, ByteLevelBPE
from .bpe.byte_pairs import (
    bpe_decode,
    bpe_encode,
    bpe_encode_by_definition,
    bpe_train,
    bpe_train_by_definition,
)
from .bpe.clip_bpe import CLIPBPE
from .bpe.learning import (
    MARKERS,
    learn_byte_level,
    learn_clip_bpe,
    train_byte_level,
    train_clip_bpe,
)
from .bpe.word_cuts import split_clip_words, split_gpt2_words, split_words
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
from .frame import read_frame
from .loading import load_tokenizer
from .raw_stream.learning import learn_raw_bpe, train_raw_bpe
from .raw_stream.raw_bpe import RawStreamBPE
from .raw_stream.stream import LLAMA, SENTENCE_PIECE, RawStream, sp_normalize
from .saving import save_tokenizer
from .streaming import StreamDecoder
from .tokenizer import Tokenizer
from .unigram.learning import learn_unigram, train_unigram
from .unigram.segmentation import (
    unigram_expected_counts,
    unigram_log_probability,
    unigram_n_best,
    unigram_sample,
    unigram_viterbi,
)
from .unigram.training import unigram_em_step, unigram_train
from .unigram.unigram import Unigram
from .word_piece.bert_words import bert_normalize, bert_words
from .word_piece.learning import learn_word_piece, train_word_piece
from .word_piece.pieces import (
    wordpiece_encode,
    wordpiece_train,
    wordpiece_train_by_definition,
)
from .word_piece.word_piece import WordPiece

__all__ = [
    "CHATML",
    "CLIPBPE",
    "DEFAULT_SYSTEM",
    "DESCRIBE",
    "GPT2BPE",
    "IMAGE_SENTINEL",
    "LLAMA",
    "MARKERS",
    "SENTENCE_PIECE",
    "ByteLevelBPE",
    "RawStream",
    "RawStreamBPE",
    "StreamDecoder",
    "Tokenizer",
    "TokenizerError",
    "Unigram",
    "WordPiece",
    "bert_normalize",
    "bert_words",
    "bpe_decode",
    "bpe_encode",
    "bpe_encode_by_definition",
    "bpe_train",
    "bpe_train_by_definition",
    "chat_prompt",
    "encode_chat",
    "learn_byte_level",
    "learn_clip_bpe",
    "learn_raw_bpe",
    "learn_unigram",
    "learn_word_piece",
    "load_tokenizer",
    "read_frame",
    "recognize_template",
    "save_tokenizer",
    "sp_normalize",
    "split_clip_words",
    "split_gpt2_words",
    "split_words",
    "train_byte_level",
    "train_clip_bpe",
    "train_raw_bpe",
    "train_unigram",
    "train_word_piece",
    "unigram_em_step",
    "unigram_expected_counts",
    "unigram_log_probability",
    "unigram_n_best",
    "unigram_sample",
    "unigram_train",
    "unigram_viterbi",
    "wordpiece_encode",
    "wordpiece_train",
    "wordpiece_train_by_definition",
]

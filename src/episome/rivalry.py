"""Numbers of the models that an adapter is measured against, as frozen values; `episome.rivals` trains them."""

from typing import Annotated

from pydantic import AfterValidator, Field

from episome.sources import Count, Frozen, Positive


def _odd(width: int) -> int:
    if width < 1 or width % 2 == 0:
        raise ValueError("wanted an odd number of bases, so that the filter has a middle")
    return width


class Learning(Frozen):
    """How a rival that learns by gradient learns; warm-up, clipping and weight decay are those of `train`.

    Attributes:
        per_step: rows × longest row of one optimiser step, in bases for the cnn, in words for the lstm.
        patience: stop after this many epochs without a better validation AUROC.
    """

    learning_rate: Positive
    epochs: Count
    patience: Count
    per_step: Count


class WordVectors(Frozen):
    """Word2Vec (Mikolov et al. 2013) over overlapping k-mers, for a Gaussian naive Bayes.

    Attributes:
        window: words on each side, both in training the vectors and in averaging them.
    """

    k: Annotated[int, Field(ge=1, le=6)]
    size: Count
    window: Count
    epochs: Count


class Cnn(Learning):
    """Convolutions that keep the length, then the maximum over it.

    Attributes:
        filters: of each layer.
        widths: bases that one filter spans, one number a layer; odd, so that a filter has a middle.
    """

    filters: Count
    widths: Annotated[tuple[Annotated[int, AfterValidator(_odd)], ...], Field(min_length=1)]
    dropout: Annotated[float, Field(ge=0, lt=1)]


class Lstm(Learning):
    """A bidirectional LSTM over k-mers.

    Attributes:
        stride: bases from one word to the next.
    """

    k: Annotated[int, Field(ge=1, le=6)]
    stride: Count
    embedding: Count
    hidden: Count
    dropout: Annotated[float, Field(ge=0, lt=1)]


class Rivals(Frozen):
    """One entry for each rival that has numbers of its own."""

    word2vec_nb: WordVectors
    cnn: Cnn
    lstm: Lstm

import pytest
import tyro
from pydantic import ValidationError

from rlgan.data import CorpusConfig


@pytest.mark.parametrize(
    "wrong",
    [
        {"dta": "x.txt"},
        {"tokens": "letters"},
        {"length": 0},
        {"length": 10**9},
        {"held_out_fraction": float("nan")},
        {"held_out_fraction": 1.0},
        {"held_out_fraction": -0.1},
        {"oracle_sequences": 0},
        {"oracle_seed": -1},
        {"vocab_size": 1},
        {"max_vocab": 0, "data": "x.txt"},
        {"bpe_size": 100},
        {"on_bad_bytes": "ignore"},
    ],
)
def test_wrong_values_are_refused(wrong):
    with pytest.raises(ValidationError):
        CorpusConfig(**wrong)


@pytest.mark.parametrize(
    ("together", "message"),
    [
        ({"column": "text", "data": "x.txt"}, "column is for"),
        ({"column": "text"}, "column is for"),
        ({"max_vocab": 10}, "max_vocab is for a text file"),
        ({"max_vocab": 10, "data": "x.txt", "tokens": "bpe"}, "use bpe_size"),
        ({"vocab_size": 10, "data": "x.txt"}, "vocab_size is for"),
        ({"oracle_file": "o", "data": "x.txt"}, "needs tokens integers"),
        ({"oracle_file": "o", "data": "x.txt", "tokens": "integers"}, "needs fixed_length"),
        ({"tokens": "char"}, "needs a data file"),
    ],
)
def test_options_without_effect_are_refused(together, message):
    with pytest.raises(ValidationError, match=message):
        CorpusConfig(**together)


def test_every_field_is_an_option_with_a_description():
    config = tyro.cli(CorpusConfig, args=["--data", "p.jsonl", "--column", "poem", "--fixed-length", "--length", "24"])
    assert (str(config.data), config.column, config.fixed_length, config.length) == ("p.jsonl", "poem", True, 24)
    assert all(field.description for field in CorpusConfig.model_fields.values())
    with pytest.raises(ValidationError, match="frozen"):
        config.length = 3

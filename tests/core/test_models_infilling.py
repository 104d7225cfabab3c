"""MaskGAN's nets: the LSTM's own gradient, dropout masks, what each net sees and must not see, a toy that learns."""

# B sequences, T positions, H width

import pytest
import torch
import torch.nn.functional as F

from rlgan.blanks import hide
from rlgan.discriminators.infilling import InfillingDiscriminator, InfillingDiscriminatorConfig
from rlgan.fills import CONTROLS, FillBatch, fill_blanks
from rlgan.models.infilling import InfillingGenerator, LanguageModel
from rlgan.models.seq2seq import Seq2SeqConfig
from rlgan.models.variational_lstm import LSTMState, VariationalLSTM, _Recurrence
from rlgan.objectives.discounted_returns import clipped_advantage, discounted_return
from rlgan.objectives.policy_gradient import policy_gradient_loss
from rlgan.rollouts import sample_sequences
from rlgan.types import TokenSpace

SPACE = TokenSpace(vocab_size=9, length=6, start_id=0, end_id=1)
CONFIG = Seq2SeqConfig(size=8, num_layers=2, init_limit=0.5)
TOKENS = torch.tensor([[3, 4, 5, 6, 1, 1], [2, 8, 7, 6, 5, 1]])
BLANK = torch.tensor([[0, 1, 1, 0, 0, 0], [0, 0, 1, 1, 1, 0]]).bool()


def random(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def generator(space: TokenSpace = SPACE) -> InfillingGenerator:
    return InfillingGenerator(space, CONFIG, random())


def discriminator() -> InfillingDiscriminator:
    config = InfillingDiscriminatorConfig(size=8, num_layers=2, init_limit=0.5, dropout=0.5)
    return InfillingDiscriminator(SPACE, config, random(1)).eval()


# The LSTM.
@pytest.mark.parametrize("keep", [None, torch.tensor([[2.0, 0.0], [2.0, 2.0], [0.0, 2.0]]).double()])
def test_recurrence_has_the_right_gradient(keep: torch.Tensor | None) -> None:
    shapes = ((4, 3, 8), (8, 2), (3, 2), (3, 2))
    inputs = [torch.randn(shape, dtype=torch.double, generator=random()).requires_grad_() for shape in shapes]
    assert torch.autograd.gradcheck(lambda *tensors: _Recurrence.apply(*tensors, keep), inputs)


def test_without_dropout_it_is_the_lstm_of_torch() -> None:
    mine, theirs = VariationalLSTM(4, 2, 0.5, random()), torch.nn.LSTM(4, 4, num_layers=2, batch_first=True)
    with torch.no_grad():
        for layer in range(2):
            getattr(theirs, f"weight_ih_l{layer}").copy_(mine.input_LGH[layer])
            getattr(theirs, f"weight_hh_l{layer}").copy_(mine.hidden_LGH[layer])
            getattr(theirs, f"bias_ih_l{layer}").zero_(), getattr(theirs, f"bias_hh_l{layer}").zero_()
    inputs = torch.randn(3, 5, 4, generator=random())
    output, state = mine(inputs, mine.zero_state(3))
    expected, (hidden, cell) = theirs(inputs)
    assert torch.allclose(output, expected, atol=1e-6)
    assert torch.allclose(state.hidden_LBH, hidden, atol=1e-6) and torch.allclose(state.cell_LBH, cell, atol=1e-6)


def test_steps_and_shorter_rows_equal_the_loop() -> None:
    lstm, inputs = VariationalLSTM(4, 2, 0.5, random()), torch.randn(2, 5, 4, generator=random())
    output, state = lstm(inputs, lstm.zero_state(2), last_B=torch.tensor([4, 2]))
    stepped = lstm.zero_state(2)
    for t in range(5):
        output_BH, stepped = lstm.step(inputs[:, t], stepped)
        assert torch.allclose(output_BH, output[:, t], atol=1e-6)
        if t == 2:
            assert torch.allclose(stepped.cell_LBH[:, 1], state.cell_LBH[:, 1], atol=1e-6)
    assert torch.allclose(stepped.hidden_LBH[:, 0], state.hidden_LBH[:, 0], atol=1e-6)


def test_dropout_has_one_mask_a_sequence_for_all_positions() -> None:
    """With a state that cannot remember (all weights 0 but the inputs'), equal inputs give equal outputs all along."""
    torch.manual_seed(0)
    lstm = VariationalLSTM(64, 1, 0.5, random())
    with torch.no_grad():
        lstm.hidden_LGH.zero_()
        lstm.bias_LG[0, 64:128] = -50.0  # forget everything
    inputs = torch.randn(2, 1, 64, generator=random()).expand(2, 6, 64)
    output, _ = lstm(inputs, lstm.zero_state(2), dropout=0.5)
    assert torch.allclose(output, output[:, :1].expand_as(output))
    is_dropped = output[:, 0] == 0
    assert 0.3 < float(is_dropped.float().mean()) < 0.7
    assert not torch.equal(is_dropped[0], is_dropped[1]), "every sequence has its own"
    again, _ = lstm(inputs, lstm.zero_state(2), dropout=0.5)
    assert not torch.equal(output, again), "and every pass"


def test_dropout_is_right_on_average() -> None:
    torch.manual_seed(0)
    lstm = VariationalLSTM(4, 1, 0.1, random())
    inputs = torch.randn(1, 3, 4, generator=random()).expand(20_000, 3, 4)
    dropped, _ = lstm(inputs, lstm.zero_state(20_000), dropout=0.3)
    whole, _ = lstm(inputs[:1], lstm.zero_state(1))
    assert torch.allclose(dropped.mean(dim=0), whole[0], atol=0.003)


# The language model.
def test_language_model_is_a_policy_whose_steps_equal_its_scores() -> None:
    model = LanguageModel(SPACE, CONFIG, random())
    state, expected = model.initial_state(2), model.log_prob(TOKENS)
    for t in range(6):
        step = model.state_logits(state).log_softmax(dim=1).gather(1, TOKENS[:, t : t + 1]).squeeze(1)
        assert torch.allclose(step, expected[:, t], atol=1e-5)
        state = model.advance(TOKENS[:, t], state)
    assert sample_sequences(model, SPACE, torch.rand(3, 6, generator=random())).shape == (3, 6)


def test_its_weights_start_the_generator_as_the_language_model() -> None:
    """With an encoder that says nothing (state and memory 0), the copied decoder is the language model."""
    model, net = LanguageModel(SPACE, CONFIG, random(5)), generator()
    net.start_from(model)
    assert torch.equal(net.encoder.input_LGH, model.lstm.input_LGH)
    assert torch.equal(net.decoder.hidden_LGH, model.lstm.hidden_LGH)
    memory = net.encode(TOKENS)
    silent = memory._replace(
        output_BSH=torch.zeros_like(memory.output_BSH), state=LSTMState(*(torch.zeros_like(s) for s in memory.state))
    )
    logits = net.logits(net.decode(net.after_start(TOKENS[:, :-1]), silent).flatten(0, 1)).view(2, 6, 9)
    log_prob = logits.log_softmax(dim=2).gather(2, TOKENS[:, :, None]).squeeze(2)
    assert torch.allclose(log_prob, model.log_prob(TOKENS), atol=1e-5)


# The generator.
def test_embeddings_are_one_table_and_the_softmax() -> None:
    names = [name for name, _ in generator().named_parameters()]
    assert sum("embedding" in name for name in names) == 1
    net = generator()
    net.log_prob_and_entropy(TOKENS, BLANK)[0].sum().backward()
    gradient = net.embedding.weight.grad
    assert gradient is not None and bool(gradient.abs().sum(dim=1).bool().all()), "every word, by the softmax"
    assert gradient.shape[0] == SPACE.vocab_size + 1, "and the missing symbol has a vector of its own"


def test_the_encoder_does_not_see_what_stands_at_blanks() -> None:
    net, other = generator(), TOKENS.clone()
    other[BLANK] = 7
    hidden = hide(TOKENS, BLANK, SPACE)
    assert torch.equal(hidden, hide(other, BLANK, SPACE))
    first = BLANK.long().argmax(dim=1)
    mine, theirs = (net.log_prob_and_entropy(t, BLANK)[1] for t in (TOKENS, other))
    rows = torch.arange(2)
    assert torch.equal(mine[rows, first], theirs[rows, first]), "what the first blank is drawn from"


def test_it_sees_the_words_after_a_blank() -> None:
    net, other = generator(), TOKENS.clone()
    other[0, 3] = 7
    mine, theirs = (net.log_prob_and_entropy(t, BLANK)[0][0, 1] for t in (TOKENS, other))
    assert not torch.equal(mine, theirs)


def test_given_words_have_no_probability_and_no_gradient() -> None:
    net = generator()
    log_prob, entropy = net.log_prob_and_entropy(TOKENS, BLANK)
    assert bool((log_prob[~BLANK] == 0).all()) and bool((entropy[~BLANK] == 0).all())
    advantage = torch.ones(2, 6)
    policy_gradient_loss(log_prob, advantage, BLANK).backward()
    gradient = net.bias_V.grad
    assert gradient is not None
    net.bias_V.grad = None
    advantage[~BLANK] = 1e6  # what stands at given positions cannot matter
    policy_gradient_loss(net.log_prob_and_entropy(TOKENS, BLANK)[0], advantage, BLANK).backward()
    assert net.bias_V.grad is not None and torch.equal(gradient, net.bias_V.grad)


def test_padding_changes_nothing() -> None:
    net, judge = generator(), discriminator()
    longer = F.pad(TOKENS, (0, 5), value=1)
    longer_blank = F.pad(BLANK, (0, 5), value=False)
    for score in (lambda t, b: net.log_prob_and_entropy(t, b)[0], judge.reward, lambda t, b: judge.judge(t, b)[1]):
        short, long = score(TOKENS, BLANK), score(longer, longer_blank)
        assert torch.allclose(short, long[:, :6], atol=1e-6) and bool((long[:, 6:] == 0).all())


def test_entropy_by_hand() -> None:
    net = generator()
    memory = net.encode(hide(TOKENS, BLANK, SPACE))
    feature = net.decode(net.after_start(TOKENS[:, :-1]), memory)
    probability = net.logits(feature[0, 1:2]).softmax(dim=1)[0]
    expected = float(-(probability * probability.log()).sum().detach())
    assert float(net.log_prob_and_entropy(TOKENS, BLANK)[1][0, 1]) == pytest.approx(expected, abs=1e-5)


# Fills.
def test_fills_keep_what_is_given_and_come_from_the_generator() -> None:
    """Frequencies of the first fill among 20,000 against the probabilities of the generator."""
    net = generator()
    rows, blank = TOKENS[:1].expand(20_000, 6), BLANK[:1].expand(20_000, 6)
    filled = fill_blanks(net, rows, blank, torch.rand(20_000, 6, generator=random()))
    assert torch.equal(filled[~blank], rows[~blank])
    every = TOKENS[:1].repeat(9, 1)
    every[:, 1] = torch.arange(9)
    probability = net.log_prob_and_entropy(every, BLANK[:1].expand(9, 6))[0][:, 1].exp()
    assert float(probability.sum()) == pytest.approx(1.0, abs=1e-5)
    frequency = torch.bincount(filled[:, 1], minlength=9) / 20_000
    assert torch.allclose(frequency, probability, atol=0.015)


def test_an_end_token_ends_an_open_text_and_no_other() -> None:
    net = generator()
    with torch.no_grad():
        net.bias_V[1] = 50.0  # says nothing but <end>
    blank = torch.tensor([[0, 1, 1, 0, 0, 0], [0, 1, 1, 1, 1, 1]]).bool()
    filled = fill_blanks(net, TOKENS, blank, torch.full((2, 6), 0.5))
    assert filled.tolist() == [[3, 1, 1, 6, 1, 1], [2, 1, 1, 1, 1, 1]]


def test_temperature_close_to_0_is_greedy_and_must_be_positive() -> None:
    net = generator()
    draws = [fill_blanks(net, TOKENS, BLANK, torch.rand(2, 6, generator=random(i)), 1e-4) for i in range(3)]
    assert torch.equal(draws[0], draws[1]) and torch.equal(draws[1], draws[2])
    with pytest.raises(ValueError, match="temperature"):
        fill_blanks(net, TOKENS, BLANK, torch.rand(2, 6), 0.0)


def test_controls() -> None:
    mask = torch.tensor([[True, False, True]])
    assert CONTROLS["constant"](mask, random()).tolist() == [[1.0, 0.0, 1.0]]
    drawn = CONTROLS["random"](mask, random())
    assert float(drawn[0, 1]) == 0 and 0 < float(drawn[0, 0]) < 1 and float(drawn[0, 0]) != float(drawn[0, 2])


def test_shards_of_other_weights_do_not_join() -> None:
    zero = torch.zeros(1, 2)
    shards = [FillBatch(zero, zero, zero, zero, zero, version, 0.1) for version in (3, 4)]
    with pytest.raises(ValueError, match="version 3"):
        FillBatch.join(shards, 3)


# The discriminator and the critic.
def test_a_verdict_sees_no_later_fill_and_the_critic_not_the_fill_itself() -> None:
    judge = discriminator()
    before = judge.judge(TOKENS, BLANK)
    for position in (2, 3, 4):
        changed = TOKENS.clone()
        changed[1, position] = 3
        reward, value = judge.judge(changed, BLANK)
        assert torch.equal(reward[1, :position], before[0][1, :position])
        assert torch.equal(value[1, : position + 1], before[1][1, : position + 1])
        assert reward[1, position] != before[0][1, position], "but the fill itself"
        if position < 4:
            assert value[1, position + 1] != before[1][1, position + 1], "and the critic what came before"


def test_the_discriminator_needs_and_sees_the_text_around() -> None:
    judge, other = discriminator(), TOKENS.clone()
    other[0, 3] = 7  # a given word after the blanks
    assert judge.reward(TOKENS, BLANK)[0, 1] != judge.reward(other, BLANK)[0, 1]


def test_reward_is_log_d_and_dropout_is_off_while_it_pays() -> None:
    judge = discriminator()
    logit = judge(TOKENS, BLANK)
    assert torch.allclose(judge.reward(TOKENS, BLANK)[BLANK], F.logsigmoid(logit)[BLANK])
    judge.train()
    assert torch.equal(judge.reward(TOKENS, BLANK), judge.reward(TOKENS, BLANK))
    assert not torch.equal(judge(TOKENS, BLANK), judge(TOKENS, BLANK))


def test_the_critic_trains_its_head_alone() -> None:
    judge = discriminator()
    (loss,) = judge.critic_losses(TOKENS, BLANK, torch.ones(2, 6), 1)
    loss.backward()
    touched = {name for name, parameter in judge.named_parameters() if parameter.grad is not None}
    assert touched == {"critic.feature.weight", "critic.feature.bias", "critic.blanks_left"}


def test_the_critic_learns_what_only_the_number_of_blanks_tells() -> None:
    """A reward of 1 a blank: R_t = 1 + 0.5 + ... over the blanks that are left, exactly."""
    judge = discriminator()
    returns = discounted_return(torch.ones(2, 6), BLANK, 0.5)
    optimizer = torch.optim.Adam(judge.critic.parameters(), lr=0.05)
    for loss in judge.critic_losses(TOKENS, BLANK, returns, 300):
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert torch.allclose(judge.judge(TOKENS, BLANK)[1], returns, atol=0.01)


def test_a_shared_embedding_is_left_alone() -> None:
    shared = InfillingDiscriminator(SPACE, InfillingDiscriminatorConfig(size=8), random())
    own = InfillingDiscriminator(SPACE, InfillingDiscriminatorConfig(size=8, share_embedding=False), random())
    assert not shared.net.embedding.weight.requires_grad and own.net.embedding.weight.requires_grad


def test_a_reward_that_prefers_one_fill_takes_it_near_1() -> None:
    """Word 7 pays 1 at the blanks of one text and word 4 at those of another: the generator comes to say so."""
    net, wanted = generator(), torch.tensor([7, 4])
    optimizer = torch.optim.Adam(net.parameters(), lr=0.02)
    rows, blank, source = TOKENS.repeat(16, 1), BLANK.repeat(16, 1), random(7)
    for _ in range(80):
        filled = fill_blanks(net, rows, blank, torch.rand(rows.shape, generator=source))
        reward = (filled == wanted.repeat(16)[:, None]).float()
        returns = discounted_return(reward, blank, 0.5)
        advantage = clipped_advantage(returns, returns.mean().expand_as(returns), blank, 5.0)
        optimizer.zero_grad()
        (policy_gradient_loss(net.log_prob_and_entropy(filled, blank)[0], advantage, blank) / 32).backward()
        optimizer.step()
    answer = torch.where(BLANK, wanted[:, None], TOKENS)
    probability = net.log_prob_and_entropy(answer, BLANK)[0][BLANK].exp()
    assert float(probability.min()) > 0.97, probability

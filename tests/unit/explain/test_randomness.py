import numpy as np

from explain_service.randomness import random_state, with_own_randomness


class Library:
    """Draws from numpy's global generator, as shap does."""

    def draw(self, count: int) -> np.ndarray:
        return np.sort(np.random.random(count))


def test_any_seed_of_64_bits_starts_a_sequence_of_its_own() -> None:
    drawn = {random_state(seed).randint(1 << 30) for seed in (0, 1, 1 << 32, 2**64 - 1)}
    assert len(drawn) == 4


def test_a_library_draws_from_the_request_and_leaves_the_global_generator_alone() -> None:
    before = np.random.get_state()[1].tobytes()  # type: ignore[index, union-attr]
    first, again = (with_own_randomness(Library(), "draw", random_state(5))(3) for _ in range(2))
    assert first.tobytes() == again.tobytes()
    assert np.random.get_state()[1].tobytes() == before  # type: ignore[index, union-attr]

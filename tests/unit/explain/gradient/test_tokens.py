"""Where a transformer's tokens lie."""

import pytest

from explain_service.gradient.tokens import token_grid


@pytest.mark.parametrize(
    ("tokens", "plane", "grid"),
    [
        (196, (224, 224), (14, 14)),
        (197, (224, 224), (14, 14)),
        (198, (224, 224), (14, 14)),
        (17, (32, 32), (4, 4)),
        (32, (32, 64), (4, 8)),
    ],
)
def test_patches_come_after_a_few_other_tokens(
    tokens: int, plane: tuple[int, int], grid: tuple[int, int]
) -> None:
    assert token_grid(tokens, plane) == grid


def test_what_is_no_grid_is_refused() -> None:
    with pytest.raises(ValueError, match="60 tokens"):
        token_grid(60, (224, 224))

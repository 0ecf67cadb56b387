"""Mistakes in one field of a configuration, and of parts that users write."""


class FieldError(ValueError):
    """A value that a field cannot have.

    Args:
        field: Name of the field.
        text: What is wrong, so that "field text" is a sentence: "must be at least 1, got 0".
    """

    def __init__(self, field: str, text: str) -> None:
        super().__init__(field, text)
        self.field, self.text = field, text

    def __str__(self) -> str:
        return f"{self.field} {self.text}"


class WrongResult(TypeError):
    """A wrong result of the user's own code, such as a plain number instead of an `Estimate`."""

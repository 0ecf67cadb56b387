"""Matrix products and attention."""

from collections.abc import Mapping, Sequence

from search_spaces.tracing.labels import Labels
from search_spaces.tracing.rules.elementwise import broadcast
from search_spaces.tracing.walk import Call, Result, Rule, Value


def linear(call: Call) -> Result:
    """Tie inputs to the weight's second dimension; the result has the labels of its first."""
    value, weight, bias = call["input"], call["weight"], call.get("bias")
    call.labels.merge(value.dims[-1], weight.dims[1])
    if bias is not None:
        call.labels.merge(weight.dims[0], bias.dims[0])
    return call.result([*value.dims[:-1], weight.dims[0]])


def matmul(call: Call) -> Result:
    """Tie the dimension that is summed over, and batch dimensions by broadcasting."""
    left, right = call.inputs[-2:]
    call.labels.merge(left.dims[-1], right.dims[-2 if len(right.dims) > 1 else -1])
    batch = tie_batch(call, [left.dims[:-2], right.dims[:-2]], left.live and right.live)
    rows = list(left.dims[-2:-1])
    columns = list(right.dims[-1:]) if len(right.dims) > 1 else []
    result = call.result([*batch, *rows, *columns])
    if len(call.inputs) == 3:
        return broadcast(call, [result, call.inputs[0]])
    return result


def dot(call: Call) -> Result:
    """Tie two vectors, whose product is one number."""
    left, right = call.inputs
    call.labels.merge(left.dims[0], right.dims[0])
    return call.result([])


def tie_batch(call: Call, parts: Sequence[Sequence[Labels]], attention: bool) -> list[Labels]:
    """Tie leading dimensions; those of a product of two values that follow from the input are noted as heads."""
    tied = list(broadcast(call, [Value(tuple(dims)) for dims in parts]).dims) if any(parts) else []
    if attention:
        call.walk.notes.heads += [labels for labels in tied if len(labels) > 1]
    return tied


def attention(call: Call) -> Result:
    """Tie heads, the width of queries and keys, and the positions of keys and values."""
    query, key, value, mask = call["query"], call["key"], call["value"], call.get("attn_mask")
    if query.dims and len(query.dims) > 2 and len(query.dims[-3]) != len(key.dims[-3]):
        return call.pinned("heads that share keys")
    heads = tie_batch(call, [item.dims[:-2] for item in (query, key, value)], True)
    call.labels.merge(query.dims[-1], key.dims[-1])
    call.labels.merge(key.dims[-2], value.dims[-2])
    if mask is not None:
        scores = Value((*heads, query.dims[-2], key.dims[-2]))
        broadcast(call, [scores, mask])
    return call.result([*heads, query.dims[-2], value.dims[-1]])


def einsum(call: Call) -> Result:
    """Tie dimensions of one letter."""
    equation = str(call["equation"]).replace(" ", "")
    entering, _, leaving = equation.partition("->")
    values = call["tensors"]
    if "." in equation or "->" not in equation:
        return call.pinned("an einsum with implicit dimensions")
    letters: dict[str, Labels] = {}
    for term, value in zip(entering.split(","), values):
        for letter, labels in zip(term, value.dims):
            known = letters.setdefault(letter, labels)
            if len(known) == len(labels) > 1:
                call.labels.merge(known, labels)
            elif len(labels) > len(known):
                letters[letter] = labels
    note_heads(call, entering.split(","), leaving, letters)
    return call.result([letters[letter] for letter in leaving])


def note_heads(call: Call, terms: Sequence[str], leaving: str, letters: Mapping[str, Labels]) -> None:
    """Note letters of two values that follow from the input, which the result has too, as heads."""
    live = [term for term, value in zip(terms, call["tensors"]) if value.live]
    if len(live) == 2:
        shared = set(live[0]) & set(live[1]) & set(leaving)
        call.walk.notes.heads += [letters[letter] for letter in sorted(shared) if len(letters[letter]) > 1]


RULES: Mapping[str, Rule] = {
    "linear": linear,
    **dict.fromkeys(("matmul", "mm", "bmm", "mv", "addmm", "baddbmm", "__matmul__"), matmul),
    "scaled_dot_product_attention": attention,
    **dict.fromkeys(("dot", "vdot"), dot),
    "einsum": einsum,
}

import pytest

from kerasgpt.runtime.protobuf import fields, message, numbers, text


def of(*values: int) -> memoryview:
    return memoryview(bytes(values))


def test_every_kind_of_field_is_read() -> None:
    # Field 1 as a number, 2 as text, 3 in eight bytes, 4 in four; written by hand from the specification.
    data = of(0x08, 0xAC, 0x02, 0x12, 2, 0x68, 0x69, 0x19, *range(8), 0x25, *range(4))
    found = [(number, value if isinstance(value, int) else bytes(value)) for number, value in fields(data)]
    assert found == [(1, 300), (2, b"hi"), (3, bytes(range(8))), (4, bytes(range(4)))]


def test_repeated_numbers_come_one_by_one_or_packed() -> None:
    assert numbers(7) == [7]
    assert numbers(of(0xAC, 0x02, 0x05)) == [300, 5]
    assert numbers(of()) == []


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (of(0x08), "ends within a number"),
        (of(0x12, 5, 0x68), "4 bytes are missing"),
        (of(0x0B), "no field begins with 11"),
        (of(0x08, *[0xFF] * 10, 1), "never ends"),
    ],
)
def test_what_is_cut_or_no_message_is_refused(data: memoryview, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        list(fields(data))


def test_a_number_is_neither_text_nor_a_message() -> None:
    for read in (text, message):
        with pytest.raises(ValueError, match="a number stands where"):
            read(3)

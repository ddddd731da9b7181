"""A picture that cannot be read is counted and named; too many end the run."""

import pickle

import pytest

import layouts as samples
from zoo.data.pictures import open_picture
from zoo.data.unreadable import Unread, Unreadable, attempted
from zoo.errors import DataError


def test_a_worker_gives_a_marker(tmp_path):
    lies = samples.folder(tmp_path, 1)
    assert attempted(lambda: open_picture(lies / "0000.jpg")).size == (50, 40)
    (lies / "0001.jpg").write_bytes(b"nothing")
    unread = attempted(lambda: open_picture(lies / "0001.jpg"))
    assert unread.reason.startswith(f"{lies / '0001.jpg'}: not a whole picture")
    assert pickle.loads(pickle.dumps(unread)) == unread
    with pytest.raises(ZeroDivisionError):
        attempted(lambda: 1 / 0)


def test_few_are_borne_and_many_are_not():
    tally = Unreadable(0.1, enough=20)
    tally.add(10, [Unread("a.jpg: cut off"), Unread("b.jpg: empty")])  # too early to judge
    tally.add(10, [])
    assert str(tally) == ("2 of 20 pictures could not be read:\n  a.jpg: cut off\n  b.jpg: empty")
    with pytest.raises(
        DataError, match=r"more than 10.0% of the pictures cannot be read.\n3 of 22 .*\n  a"
    ):
        tally.add(2, [Unread("c.jpg: gone")])


def test_the_end_judges_however_few_there_were():
    tally = Unreadable(0.5)
    tally.add(1, [Unread("a.jpg: gone")])
    with pytest.raises(DataError, match="1 of 1 pictures could not be read"):
        tally.finish()
    none = Unreadable(0.0)
    none.add(1000, [])
    none.finish()
    assert str(none) == "1000 pictures read, all of them readable"


def test_it_goes_on_from_a_checkpoint():
    tally = Unreadable(0.5)
    tally.add(50, [Unread(f"{n}.jpg: gone") for n in range(24)] + [Unread("0.jpg: gone")])
    other = Unreadable(0.5)
    other.load_state_dict(tally.state_dict())
    assert (other.seen, other.count) == (50, 25)
    assert str(other) == str(tally)
    assert str(other).endswith("and 4 more")


def test_refused():
    with pytest.raises(DataError, match="the share of unreadable pictures is 0 to 1, not 2"):
        Unreadable(2)


def test_where_none_is_borne_the_first_one_ends_it():
    tally = Unreadable(most=0, enough=100)
    tally.add(3, [])
    with pytest.raises(
        DataError, match=r"more than 0\.0% of the pictures .*\n1 of 4 .*\n  a.jpg: gone"
    ):
        tally.add(1, [Unread("a.jpg: gone")])

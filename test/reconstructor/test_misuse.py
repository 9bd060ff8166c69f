"""What people do wrong in Python: one line that says what is wrong and what would be right."""

import copy
import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import h5py
import numpy as np
import pandas
import pytest
import torch

import mlreco
from mlreco import Event, Reconstructor, UserError, shipped
from mlreco.post_processing import GreedyClusterer, LinkedClusterer

COORDINATES = np.array([[10, 20, 30], [11, 20, 30], [12, 21, 30]])
ENERGIES = np.array([0.5, 1.0, 0.75])
EVENT = Event({"coordinates": COORDINATES, "fragments": np.array([0, 0, 1])}, name="event 0")


def ragged():
    return [[1, 2, 3], [4, 5]]


def changed(array, place, value):
    array = np.array(array, float)
    array[place] = value
    return array


PREDICTIONS = {
    "no energies": ((COORDINATES,), {"voxel_size": 0.3}, "energies are missing"),
    "no voxel size": ((COORDINATES, ENERGIES), {}, "voxel_size is missing: the edge of a voxel in cm"),
    "nothing": ((None, None), {"voxel_size": 0.3}, "coordinates are missing"),
    "a text": (("thin", ENERGIES), {"voxel_size": 0.3}, "coordinates must be numbers"),
    "a path": ((Path("x.h5"), ENERGIES), {"voxel_size": 0.3}, "files are reconstructed by predict_file"),
    "a file": (("x.h5",), {}, "x.h5: files are reconstructed by predict_file; predict takes arrays or events"),
    "events by name": (({"a": EVENT},), {}, "events are given as a list, not as dict"),
    "a table": (({"x": [1], "y": [2], "z": [3]}, [1.0]), {"voxel_size": 0.3}, "coordinates: dict .* give arrays"),
    "half precision of torch": (
        (torch.ones(3, 3, dtype=torch.bfloat16), ENERGIES),
        {"voxel_size": 0.3},
        "coordinates must be numbers, not torch.bfloat16",
    ),
    "times": (
        (COORDINATES.astype("M8[s]"), ENERGIES),
        {"voxel_size": 0.3},
        "coordinates must be numbers, not datetime",
    ),
    "a table with a gap": (
        (pandas.DataFrame({"x": [1, None], "y": [1, 1], "z": [1, 1]}), [1, 1]),
        {"voxel_size": 0.3},
        "coordinates in row 1: x = nan",
    ),
    "a table of too many columns": (
        (pandas.DataFrame(np.c_[COORDINATES, ENERGIES], columns=list("xyze")), ENERGIES),
        {"voxel_size": 0.3},
        r"not \(3, 4\); without the column of the batch or of the energy",
    ),
    "both in one list": (([COORDINATES, ENERGIES],), {"voxel_size": 0.3}, "energies must be a list of 2 arrays"),
    "a number": ((7, ENERGIES), {"voxel_size": 0.3}, r"coordinates must have the shape \(N, 3\), not \(\)"),
    "transposed": ((COORDINATES[:2].T, ENERGIES), {"voxel_size": 0.3}, "give their transpose"),
    "batch column": (
        (np.c_[np.zeros(3), COORDINATES], ENERGIES),
        {"voxel_size": 0.3},
        r"shape \(N, 3\), not \(3, 4\); without the column of the batch",
    ),
    "two axes": ((COORDINATES[:, :2], ENERGIES), {"voxel_size": 0.3}, r"shape \(N, 3\), not \(3, 2\)"),
    "flat": ((COORDINATES.ravel(), ENERGIES), {"voxel_size": 0.3}, r"shape \(N, 3\), not \(9,\)"),
    "three dimensions": ((COORDINATES[None], ENERGIES), {"voxel_size": 0.3}, r"shape \(N, 3\), not \(1, 3, 3\)"),
    "an image": ((np.zeros((8, 8, 8)), ENERGIES), {"voxel_size": 0.3}, r"shape \(N, 3\), not \(8, 8, 8\)"),
    "ragged": ((ragged(), ENERGIES), {"voxel_size": 0.3}, "rows of different lengths"),
    "booleans": ((COORDINATES > 11, ENERGIES), {"voxel_size": 0.3}, "coordinates must be numbers, not bool"),
    "complex": ((COORDINATES * 1j, ENERGIES), {"voxel_size": 0.3}, "coordinates must be numbers, not complex128"),
    "objects": ((COORDINATES.astype(object), ENERGIES), {"voxel_size": 0.3}, "coordinates must be numbers, not object"),
    "structured": (
        (np.zeros(3, [("x", int), ("y", int), ("z", int)]), ENERGIES),
        {"voxel_size": 0.3},
        "coordinates must be numbers, not ",
    ),
    "centimetres": ((COORDINATES * 0.3, ENERGIES), {"voxel_size": 0.3}, "y = 6|are they centimetres"),
    "not a number": (
        (changed(COORDINATES, (1, 2), np.nan), ENERGIES),
        {"voxel_size": 0.3},
        "coordinates in row 1: z = nan",
    ),
    "infinite": ((changed(COORDINATES, (0, 0), np.inf), ENERGIES), {"voxel_size": 0.3}, "row 0: x = inf"),
    "negative": (
        (COORDINATES - 15, ENERGIES),
        {"voxel_size": 0.3},
        "row 0: x = -5 lies outside the image of 512 x 512 x 512 voxels .* subtract the corner",
    ),
    "beyond the image": (
        (COORDINATES + np.array([0, 0, 900]), ENERGIES),
        {"voxel_size": 0.3},
        r"z = 930 lies outside .*from \(10, 20, 930\) to \(12, 21, 930\).*image_shape=",
    ),
    "beyond the declared image": (
        (COORDINATES, ENERGIES),
        {"voxel_size": 0.3, "image_shape": (512, 512, 30)},
        "z = 30 lies outside the image of 512 x 512 x 30",
    ),
    "huge": ((COORDINATES * 10**12, ENERGIES), {"voxel_size": 0.3}, "lies outside the image"),
    "huge unsigned": ((np.full((3, 3), 2**64 - 1, np.uint64), ENERGIES), {"voxel_size": 0.3}, "lies outside the image"),
    "masked": (
        (np.ma.masked_array(COORDINATES, mask=COORDINATES == 11), ENERGIES),
        {"voxel_size": 0.3},
        "coordinates are a masked array",
    ),
    "more energies": ((COORDINATES, np.ones(4)), {"voxel_size": 0.3}, r"energies must have the shape \(3,\)"),
    "a column of energies": (
        (COORDINATES, ENERGIES[:, None]),
        {"voxel_size": 0.3},
        r"not \(3, 1\); give energies\[:, 0\]",
    ),
    "one energy": ((COORDINATES, 1.0), {"voxel_size": 0.3}, r"energies must have the shape \(3,\)"),
    "texts of energies": ((COORDINATES, ["a", "b", "c"]), {"voxel_size": 0.3}, "energies must be numbers"),
    "energy not a number": ((COORDINATES, [1, np.nan, 1]), {"voxel_size": 0.3}, "energies in row 1: nan"),
    "beyond float32": (
        (COORDINATES, [1, 1, 1e39]),
        {"voxel_size": 0.3},
        "energies in row 2: 1e.39 is no energy",
    ),
    "negative energy": ((COORDINATES, [1, -2, 1]), {"voxel_size": 0.3}, "energies in row 1: -2 is negative"),
    "swapped": ((ENERGIES, COORDINATES), {"voxel_size": 0.3}, r"coordinates must have the shape \(N, 3\), not \(3,\)"),
    "voxel size zero": ((COORDINATES, ENERGIES), {"voxel_size": 0}, "voxel_size must be positive, in cm, not 0"),
    "voxel size negative": ((COORDINATES, ENERGIES), {"voxel_size": -0.3}, "must be positive, in cm, not -0.3"),
    "one axis negative": ((COORDINATES, ENERGIES), {"voxel_size": (0.3, 0.3, -0.3)}, "must be positive"),
    "voxel size text": ((COORDINATES, ENERGIES), {"voxel_size": "3mm"}, "voxel_size must be one number or three"),
    "two voxel sizes": ((COORDINATES, ENERGIES), {"voxel_size": (0.3, 0.3)}, "voxel_size must be one number or three"),
    "voxel size nan": ((COORDINATES, ENERGIES), {"voxel_size": np.nan}, "voxel_size must be one number or three"),
    "voxel size true": ((COORDINATES, ENERGIES), {"voxel_size": True}, "voxel_size must be one number or three"),
    "fractional shape": (
        (COORDINATES, ENERGIES),
        {"voxel_size": 0.3, "image_shape": 153.6},
        "image_shape must be whole numbers of voxels",
    ),
    "shape of nothing": ((COORDINATES, ENERGIES), {"voxel_size": 0.3, "image_shape": 0}, "from 1 to 65536, not 0"),
    "origin of two": (
        (COORDINATES, ENERGIES),
        {"voxel_size": 0.3, "image_origin": (0, 0)},
        "image_origin must be one number or three",
    ),
    "lists of other lengths": (
        ([COORDINATES, COORDINATES], [ENERGIES]),
        {"voxel_size": 0.3},
        "energies must be a list of 2 arrays, one for each event, not of 1",
    ),
    "a list and an array": (
        ([COORDINATES], ENERGIES),
        {"voxel_size": 0.3},
        "energies must be a list of 1 arrays, one for each event, not ndarray",
    ),
    "the second event is bad": (
        ([COORDINATES, COORDINATES + 600], [ENERGIES, ENERGIES]),
        {"voxel_size": 0.3},
        "event 1: coordinates in row 0: x = 610 lies outside",
    ),
    "an event and arrays": ((EVENT, ENERGIES), {}, "energies cannot be given with an Event"),
    "an event and a voxel size": ((EVENT,), {"voxel_size": 0.3}, "voxel_size cannot be given with an Event"),
    "an event without energies": ((EVENT,), {}, "event 0 has no 'energies'; it cannot be reconstructed"),
    "events and arrays mixed": (
        ([EVENT, COORDINATES], [ENERGIES, ENERGIES]),
        {"voxel_size": 0.3},
        "event 0: .*Event.* among arrays",
    ),
    "classes of another scheme": (
        (COORDINATES, ENERGIES),
        {"voxel_size": 0.3, "semantics": [0, 1, 5]},
        r"semantics in row 2: 5 is no class of 'pilarnet' \(0 HIP, 1 MIP, 2 Shower, 3 Delta, 4 Michel, -1 unknown\)",
    ),
    "classes for other voxels": (
        (COORDINATES, ENERGIES),
        {"voxel_size": 0.3, "semantics": [0, 1]},
        r"semantics must have the shape \(3,\)",
    ),
    "classes as names": (
        (COORDINATES, ENERGIES),
        {"voxel_size": 0.3, "semantics": ["HIP", "MIP", "HIP"]},
        "semantics must be numbers",
    ),
}


@pytest.mark.parametrize(("arguments", "options", "message"), PREDICTIONS.values(), ids=PREDICTIONS)
def test_predict_refuses(thin, arguments, options, message):
    with pytest.raises(UserError, match=message) as caught:
        thin.predict(*arguments, **options)
    assert "\n" not in str(caught.value)


def test_after_a_refusal_the_chain_works_on(thin, sample):
    with pytest.raises(UserError):
        thin.predict(COORDINATES, -ENERGIES, voxel_size=0.3)
    assert thin.predict(sample[0]).num_voxels == sample[0].num_voxels


NAMES = {
    "misspelt": ("thinn", {}, "no file and no shipped configuration 'thinn'; did you mean 'thin'"),
    "in capitals": ("THIN", {}, "no shipped configuration 'THIN'; did you mean 'thin'"),
    "weights of a part": ("grappa_thin", {}, "'grappa_thin' are weights of a part of a chain; name a configuration"),
    "a shipped name with an ending": ("thin.ckpt", {}, "no such checkpoint; the shipped chain is named 'thin'"),
    "no such checkpoint": ("weights/x.ckpt", {}, "weights/x.ckpt: no such checkpoint"),
    "no such configuration": ("mine.cfg", {}, "mine.cfg: no such configuration file"),
    "a folder": (".", {}, r"\.: is a folder"),
    "no weights": ("chain", {}, "stage 'uresnet' has no weights"),
    "weights that are none": ("thin", {"weights": 3}, "weights must be a text or a path, not int"),
    "events for weights": ("thin", {"weights": shipped.sample("sample")}, "thin_sample.h5: .*checkpoint"),
    "events for a chain": (shipped.sample("sample"), {}, "thin_sample.h5"),
    "a checksum of nothing": ("thin", {"sha256": "0" * 64}, "sha256 is the checksum of one checkpoint from elsewhere"),
    "a device by number": ("thin", {"device": 0}, "no device '0'; valid: cpu, cuda, cuda:1"),
    "an override without a value": ("thin", {"overrides": ["trainval.seed"]}, "trainval.seed"),
    "a device": ("thin", {"device": "gpu"}, "no device 'gpu'; valid: cpu, cuda, cuda:1"),
    "a device that is not there": ("thin", {"device": "cuda:97"}, "no such CUDA device here"),
    "an override": ("thin", {"overrides": ["model.modules.spice.dept=5"]}, "did you mean 'depth'"),
    "an override as text": ("thin", {"overrides": "model.modules.spice.dept=5"}, "did you mean 'depth'"),
    "weights that are not there": ("thin", {"weights": "x.ckpt"}, "x.ckpt: no such checkpoint"),
    "None": (None, {}, "the name of a chain must be a text or a path, not NoneType"),
}


@pytest.mark.parametrize(("name", "options", "message"), NAMES.values(), ids=NAMES)
def test_from_pretrained_refuses(name, options, message):
    if "97" in str(options) and torch.cuda.device_count() > 97:
        pytest.skip("there is such a device")
    with pytest.raises(UserError, match=message):
        Reconstructor.from_pretrained(name, **options)


def test_files_that_are_no_chains_and_no_events(tmp_path, thin):
    (tmp_path / "text.cfg").write_text("just words")
    (tmp_path / "empty.h5").write_bytes(b"")
    (tmp_path / "broken.ckpt").write_bytes(b"PK\x03\x04 and nothing else")
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["x"] = [1]
    torch.save({"state_dict": {"spice.other.weight": torch.zeros(3)}}, tmp_path / "other.ckpt")
    with pytest.raises(UserError, match=r"other\.ckpt"):
        Reconstructor.from_pretrained("thin", weights=tmp_path / "other.ckpt")
    for name, message in {"text.cfg": "text.cfg", "broken.ckpt": "not a checkpoint of mlreco, or damaged"}.items():
        with pytest.raises(UserError, match=message):
            Reconstructor.from_pretrained(tmp_path / name)
    for name, message in {
        "empty.h5": "the file is empty",
        "other.h5": "no reader for this file; it seems to be HDF5 with x",
        "text.cfg": "no reader for this file; it seems to be a text file",
        "none.h5": "no such file",
    }.items():
        with pytest.raises(UserError, match=message):
            mlreco.open(tmp_path / name)
        with pytest.raises(UserError, match=message):
            next(thin.predict_file(tmp_path / name))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda thin, sample: thin.predict_file(3), "a source is the name of a file, not int"),
        (lambda thin, sample: thin.predict_file([]), "no data files given"),
        (lambda thin, sample: thin.reconstruct_file(sample.path, sample.path), "is an input of this command"),
        (lambda thin, sample: thin.reconstruct_file(sample.path, "no/such/folder/x.h5"), "the folder does not exist"),
        (lambda thin, sample: mlreco.open(sample.path, image="sparse3d_x"), "no image 'sparse3d_x'"),
        (lambda thin, sample: mlreco.open(sample.path, scheme="larcv"), "no class scheme 'larcv'"),
        (lambda thin, sample: Reconstructor("thin"), "not of str; Reconstructor.from_pretrained takes names"),
        (lambda thin, sample: Reconstructor(thin.config.to_dict()), "made of a checked configuration, not of dict"),
        (lambda thin, sample: mlreco.open(3), "named by a text or a path, not int"),
        (lambda thin, sample: mlreco.open([sample.path]), "named by a text or a path, not list"),
        (lambda thin, sample: mlreco.open("."), "is a folder"),
        (lambda thin, sample: mlreco.save([sample[0]], "x.h5"), r"not list: mlreco.save\(path, events\)"),
        (lambda thin, sample: mlreco.save("x.html", sample), "a page shows one event"),
        (lambda thin, sample: mlreco.save("x.h5", []), "no events to save"),
        (lambda thin, sample: mlreco.save("x.h5", [sample]), "item 0 is no event"),
        (lambda thin, sample: mlreco.save("x.h5", [sample[0], EVENT]), "event 1 and the first one differ in products"),
        (lambda thin, sample: sample[0].save("x.root"), "saved as .h5 .* or .html .*, not '.root'"),
        (lambda thin, sample: sample[0].save("no/such/folder/x.h5"), "the folder does not exist"),
        (lambda thin, sample: sample[0].show(), "not reconstructed yet; show it by colour='energies'"),
        (lambda thin, sample: sample[0].show("energy"), "cannot colour by 'energy'; did you mean 'energies'"),
        (
            lambda thin, sample: sample[0].show("energies", "embeddings"),
            "no space 'embeddings'; did you mean 'embedding'",
        ),
        (lambda thin, sample: sample[0].show("energies", "embedding"), "this event has no embeddings"),
        (lambda thin, sample: sample[0].particles, "this event has no instances"),
        (lambda thin, sample: LinkedClusterer("1.8"), "voxel_distance is '1.8'; a number is needed"),
        (lambda thin, sample: LinkedClusterer().fit_predict(COORDINATES[:, :2], COORDINATES), r"\(N, 3\) is needed"),
        (lambda thin, sample: GreedyClusterer(min_voxels="3"), "min_voxels is '3'; a number is needed"),
    ],
)
def test_other_mistakes(call, message, thin, sample, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=message):
        found = call(thin, sample)
        next(found)
    assert not list(tmp_path.iterdir())


def test_events_that_are_not_there(sample):
    for index in (20, -21):
        with pytest.raises(IndexError, match="there are 20"):
            _ = sample[index]
    with pytest.raises(TypeError, match="whole numbers, not str"):
        _ = sample["energies"]
    with pytest.raises(AttributeError, match="no 'energy'; did you mean 'energies'"):
        _ = sample[0].energy
    with pytest.raises(KeyError):
        _ = sample[0]["fragments"]
    assert not hasattr(sample[0], "instances")


FORMS = {
    "lists": (COORDINATES.tolist(), ENERGIES.tolist(), 0.3),
    "floating point numbers": (COORDINATES.astype(float), ENERGIES.astype(np.float16), 0.3),
    "small integers": (COORDINATES.astype(np.uint8), ENERGIES.astype(np.float16), (0.3, 0.3, 0.3)),
    "tensors that learn": (torch.tensor(COORDINATES), torch.tensor(ENERGIES, requires_grad=True), torch.tensor(0.3)),
    "tables": (pandas.DataFrame(COORDINATES, columns=list("xyz")), pandas.Series(ENERGIES), np.float64(0.3)),
    "other layout": (np.asfortranarray(COORDINATES), ENERGIES[::-1][::-1], [0.3]),
    "nothing masked": (np.ma.masked_array(COORDINATES), np.ma.masked_array(ENERGIES), 0.3),
}


@pytest.mark.parametrize(("coordinates", "energies", "voxel_size"), FORMS.values(), ids=FORMS)
@pytest.mark.filterwarnings("ignore::mlreco.reconstructor.reconstructor.UnfamiliarEvents")
def test_the_form_of_the_arrays_does_not_matter(thin, coordinates, energies, voxel_size):
    expected = thin.predict(COORDINATES, ENERGIES, voxel_size=0.3)
    found = thin.predict(coordinates, energies, voxel_size=voxel_size)
    assert (found.coordinates == COORDINATES).all()
    assert (found.embeddings == expected.embeddings).all()


@pytest.mark.filterwarnings("ignore::mlreco.reconstructor.reconstructor.UnfamiliarEvents")
def test_events_without_voxels_and_lists_without_events(thin, tmp_path):
    empty = thin.predict(np.empty((0, 3)), [], voxel_size=0.3)
    assert (empty.num_voxels, len(empty.particles), len(empty.to_pandas())) == (0, 0, 0)
    assert len(empty.particles.to_pandas()) == 0
    empty.save(tmp_path / "empty.h5")
    empty.save(tmp_path / "empty.html")
    assert len(empty.show().data[0].x) == 0
    assert thin.predict([]) == []
    assert thin.predict([], [], voxel_size=0.3) == []
    first, second = thin.predict([np.empty((0, 3)), COORDINATES], [[], ENERGIES], voxel_size=0.3)
    assert (first.num_voxels, second.num_voxels) == (0, 3)


@pytest.mark.filterwarnings("ignore::mlreco.reconstructor.reconstructor.UnfamiliarEvents")
def test_an_image_of_the_largest_size(thin):
    edge = 2**16
    found = thin.predict(edge - 1 - COORDINATES, ENERGIES, voxel_size=0.3, image_shape=edge)
    assert (found.coordinates == edge - 1 - COORDINATES).all()
    assert np.isfinite(found.embeddings).all()


def test_threads_that_share_a_chain_get_what_one_gets(thin, sample):
    events = sample[:4]
    alone = [thin.predict(event) for event in events]
    with ThreadPoolExecutor(4) as threads:
        together = list(threads.map(thin.predict, events))
    for one, other in zip(alone, together, strict=True):
        assert (one.embeddings == other.embeddings).all()
        assert (one.instances == other.instances).all()


def test_chains_events_and_files_can_be_sent_to_other_processes(thin, sample):
    again = pickle.loads(pickle.dumps(thin))
    assert repr(copy.deepcopy(thin)) == repr(again) == repr(thin)
    event = pickle.loads(pickle.dumps(sample[0]))
    assert (again.predict(event).embeddings == thin.predict(sample[0]).embeddings).all()
    assert again.name == "thin"
    assert len(pickle.loads(pickle.dumps(sample))) == len(sample)
    assert pickle.loads(pickle.dumps(event)).event_id == sample[0].event_id


def test_a_file_that_was_closed_opens_again_and_one_that_is_gone_is_told(sample, tmp_path):
    copy = tmp_path / "copy.h5"
    copy.write_bytes(Path(sample.path).read_bytes())
    with mlreco.open(copy) as events:
        assert events[0].num_voxels
    assert events[1].num_voxels
    events.close()
    events.close()
    copy.unlink()
    with pytest.raises(UserError, match=r"copy\.h5: no such file"):
        _ = events[2]


@pytest.mark.parametrize(
    ("products", "told"),
    [
        ({"energies": ENERGIES[:2]}, "product 'energies' has 2 rows and not those of 'coordinates', 3"),
        ({"voxel_size": np.full((2, 3), 0.3)}, "product 'voxel_size' has 2 rows and not one an event, 1"),
        ({"semantics": np.int8(1)}, "product 'semantics' is a single number and has no rows"),
        ({"fragment_classes": np.zeros(1, np.int8)}, "'fragments' holds 1; the event has 1 fragments, numbered from 0"),
    ],
)
def test_an_event_of_arrays_that_do_not_fit(products, told):
    with pytest.raises(UserError, match=f"^event 7: .*{told}$"):
        Event({"coordinates": COORDINATES, "fragments": np.array([0, 0, 1]), **products}, name="event 7")


def test_an_event_may_have_other_products():
    assert Event({"coordinates": COORDINATES, "mine": np.zeros(5), "one": 3.5})["one"] == 3.5

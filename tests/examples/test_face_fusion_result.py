"""What a fusion does to real portraits, and what it leaves alone."""

from __future__ import annotations

import pytest

NEEDS = "pip install 'tidegate[examples]'"
cv2 = pytest.importorskip("cv2", reason=NEEDS)
np = pytest.importorskip("numpy", reason=NEEDS)

from face_fusion.blend import METHODS  # noqa: E402
from face_fusion.errors import Refused  # noqa: E402
from face_fusion.faces import FaceFinder  # noqa: E402
from face_fusion.fusion import Fuser, Options  # noqa: E402
from face_fusion.workers import PORTRAITS  # noqa: E402

NAMES = ("astronaut", "hopper", "king", "mona-lisa")
AS_PNG = {"media_type": "image/png"}


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    cv2.setNumThreads(1)


@pytest.fixture(scope="module")
def fuser():
    return Fuser(max_pixels=50_000_000)


@pytest.fixture(scope="module")
def finder():
    return FaceFinder()


def data(name: str) -> bytes:
    return (PORTRAITS / f"{name}.jpg").read_bytes()


def pixels(name: str):
    return cv2.imread(str(PORTRAITS / f"{name}.jpg"))


def png(picture) -> bytes:
    return cv2.imencode(".png", picture)[1].tobytes()


def result(fused):
    return cv2.imdecode(np.frombuffer(fused.data, np.uint8), cv2.IMREAD_COLOR)


def outline_mask(finder, picture, grow: float):
    """The hull of the face's points, grown by a share of the distance between the eyes."""
    face = finder.the_one(picture, field="template")
    mask = np.zeros(picture.shape[:2], np.uint8)
    cv2.fillConvexPoly(mask, cv2.convexHull(np.rint(face.flat).astype(np.int32)), 255)
    reach = max(1, round(face.eye_distance * grow))
    return cv2.dilate(mask, np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)) > 0


@pytest.mark.parametrize("method", METHODS)
def test_the_face_changes_and_nothing_else(fuser, finder, method):
    before = pixels("astronaut")
    after = result(fuser.fuse(data("astronaut"), data("hopper"), Options(blend=method, **AS_PNG)))
    changed = cv2.absdiff(before, after).max(axis=2)
    face = outline_mask(finder, before, 0.0)
    around = outline_mask(finder, before, 0.15)
    assert (changed[~around] == 0).all()
    assert changed[face].mean() > 10


@pytest.mark.parametrize("template", NAMES)
@pytest.mark.parametrize("user", NAMES)
def test_the_result_has_a_face_where_the_template_had_it(fuser, finder, template, user):
    place = finder.the_one(pixels(template), field="template")
    after = finder.the_one(result(fuser.fuse(data(template), data(user), Options())), field="result")
    off = np.linalg.norm(after.flat - place.flat, axis=1).mean() / place.eye_distance
    assert off < 0.12


def test_the_users_proportions_show(fuser, finder):
    """Shape 1 is nearer to the user's own proportions than shape 0: the distances between inner points say so."""
    inner = [33, 133, 362, 263, 1, 61, 291, 13, 17, 105, 334]  # eyes, nose, mouth, brows

    def form(picture):
        points = finder.the_one(picture, field="any").frontal()[inner]
        points = points - points.mean(axis=0)
        return points / np.linalg.norm(points)

    user = form(pixels("hopper"))
    far, near = (
        np.linalg.norm(form(result(fuser.fuse(data("astronaut"), data("hopper"), Options(shape=shape)))) - user)
        for shape in (0.0, 1.0)
    )
    assert near < 0.8 * far


def test_colour_follows_the_template(fuser, finder):
    before = pixels("mona-lisa")
    after = result(fuser.fuse(data("mona-lisa"), data("astronaut"), Options()))
    face = outline_mask(finder, before, 0.0)
    assert np.abs(before[face].mean(axis=0) - after[face].mean(axis=0)).max() < 15


def test_the_same_request_gives_the_same_bytes_with_any_number_of_threads(fuser):
    first = fuser.fuse(data("hopper"), data("king"), Options()).data
    cv2.setNumThreads(2)
    try:
        assert Fuser(max_pixels=10**7).fuse(data("hopper"), data("king"), Options()).data == first
    finally:
        cv2.setNumThreads(1)


def test_strength_zero_changes_nothing(fuser):
    after = result(fuser.fuse(data("astronaut"), data("hopper"), Options(strength=0.0, **AS_PNG)))
    assert np.array_equal(after, pixels("astronaut"))


@pytest.mark.parametrize("turn", [cv2.ROTATE_180, cv2.ROTATE_90_CLOCKWISE, cv2.ROTATE_90_COUNTERCLOCKWISE])
@pytest.mark.parametrize("name", NAMES[:3])
def test_a_turned_face_is_measured_the_right_way_up(finder, name, turn):
    picture = pixels(name)
    upright = finder.the_one(picture, field="user")
    seen = finder.the_one(cv2.rotate(picture, turn), field="user")
    turned = np.zeros((*picture.shape[:2], 2), np.float32)
    turned[..., 1], turned[..., 0] = np.mgrid[: picture.shape[0], : picture.shape[1]]
    # Where each pixel of the turned picture came from, so that both sets of points are in the upright one.
    back = cv2.remap(cv2.rotate(turned, turn), seen.flat.astype(np.float32)[None], None, cv2.INTER_LINEAR)[0]
    assert np.linalg.norm(back - upright.flat, axis=1).mean() < 0.08 * upright.eye_distance


def test_an_upside_down_user_gives_about_the_same_picture(fuser):
    upright = result(fuser.fuse(data("astronaut"), data("hopper"), Options()))
    turned = png(cv2.rotate(pixels("hopper"), cv2.ROTATE_180))
    assert cv2.absdiff(result(fuser.fuse(data("astronaut"), turned, Options())), upright).mean() < 1.0


def test_a_small_face_in_a_large_picture_is_found(finder):
    scene = np.full((1400, 1800, 3), 128, np.uint8)
    portrait = cv2.resize(pixels("hopper"), (256, 300), interpolation=cv2.INTER_AREA)
    scene[1000:1300, 1400:1656] = portrait
    face = finder.the_one(scene, field="user")
    assert 1400 < face.flat[:, 0].mean() < 1656
    assert 1000 < face.flat[:, 1].mean() < 1300


def test_a_face_cut_off_by_the_edge_is_fused(fuser):
    cut = pixels("hopper")[:, 190:]
    assert result(fuser.fuse(png(cut), data("astronaut"), Options())).shape == cut.shape


def test_two_faces_are_refused_unless_the_largest_is_asked_for(fuser):
    both = png(np.hstack([pixels("hopper"), pixels("hopper")]))
    with pytest.raises(Refused) as caught:
        fuser.fuse(data("astronaut"), both, Options())
    assert (caught.value.code, caught.value.status, caught.value.field) == ("several_faces", 422, "user")
    assert fuser.fuse(data("astronaut"), both, Options(faces="largest")).width == 512


@pytest.mark.parametrize(
    "picture",
    [
        np.full((300, 300, 3), 128, np.uint8),
        np.random.default_rng(1).integers(0, 256, (300, 300, 3), np.uint8),
        np.zeros((1, 1, 3), np.uint8),
        np.zeros((3, 900, 3), np.uint8),
    ],
    ids=["grey", "noise", "one pixel", "a line"],
)
def test_without_a_face_there_is_no_fusion(fuser, picture):
    with pytest.raises(Refused) as caught:
        fuser.fuse(png(picture), data("hopper"), Options())
    assert (caught.value.code, caught.value.field) == ("no_face", "template")


def test_heads_turned_differently_are_fused_with_a_warning(fuser):
    assert fuser.fuse(data("mona-lisa"), data("hopper"), Options()).warnings == ("pose_gap",)
    assert fuser.fuse(data("astronaut"), data("hopper"), Options()).warnings == ()

"""Every forward path stays on a device that is only pretended, and waits for it only where a table allows."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from itl.evaluation.accuracy import scores
from itl.evaluation.detection import find
from itl.evaluation.fast_rcnn import Detector, calibrate, locate
from itl.evaluation.frozen import knn, probe
from itl.evaluation.induction import induction
from itl.evaluation.target import Target, annotated
from itl.machine import Machine
from itl.packs.subset import Selection
from itl.specs import Detection, Pretrain, Recipe, Subset, Transfer
from itl.training.batches import Batches
from itl.training.detection_batches import Pictures
from itl.training.detection_nets import parts
from itl.training.loop import predict
from itl.training.nets import NETS, build
from tests.fake_cuda import fake_cuda  # noqa: F401
from tests.worlds import boxes_pack

CPU, GPU = Machine(threads=1), Machine(device="cuda", threads=1)
RECIPE = Recipe(batch=16, pixels=32, precision="bf16")
DETECTION = Detection(batch=2, pixels=72, longest=96, proposals=20, rois=8, overlap=0.1)


def world(recipe=RECIPE, machine=GPU, images=40):
    random = np.random.default_rng(0)
    pack = SimpleNamespace(images=random.integers(0, 256, (images, 40, 40, 3), dtype=np.uint8))
    return Batches(pack, Selection(np.arange(images), np.arange(images) % 4, tuple("abcd")), recipe, 0, machine)

def show(d):
    from collections import Counter
    for k,v in Counter(d.where).items(): print(v,k)

def test_crop(fake_cuda):
    with fake_cuda() as d:
        for x,y in world().epoch(0): print(x.device, y.device)
        for x,y in world().in_order(): pass
    show(d)

@pytest.mark.parametrize("name", NETS)
def test_predict(fake_cuda, name):
    px=max(32,NETS[name][1])
    r=replace(RECIPE,pixels=px)
    with fake_cuda() as d:
        o,l=predict(build(name,4,px,0), world(r), GPU, "bf16")
        print(type(o), scores(o,l))
    show(d)

@pytest.mark.parametrize("ev", [knn,probe,induction])
def test_frozen(fake_cuda, ev, tmp_path):
    labels = np.arange(200) % 4
    random = np.random.default_rng(0)
    colours = random.uniform(40, 215, (4, 3))[labels][:, None, None]
    images = (colours + random.normal(0, 60, (200, 32, 32, 3))).clip(0, 255).astype(np.uint8)
    ps = [Selection(rows, labels[rows], ("n02119022","n04285008","n02119789","n02085620")) for rows in np.split(np.arange(200), 2)]
    asked = Transfer(Pretrain(Subset("a pack"), recipe=RECIPE), ev.__name__, "colours", "a pack")
    t=Target(SimpleNamespace(images=images), *ps)
    a=ev(asked,build("small",4,32,0),t,tmp_path,CPU)
    with fake_cuda() as d:
        b=ev(asked,build("small",4,32,0),t,tmp_path,GPU)
    print(a,b)
    show(d)

@pytest.mark.parametrize("regions", ["windows","rpn"])
@pytest.mark.parametrize("name", ["small","alexnet"])
def test_det(fake_cuda, name, regions):
    pack = boxes_pack({"train": 6, "test": 4})
    from tests.evaluation.test_detection import spec
    r=replace(DETECTION,regions=regions)
    t=annotated(spec(r),pack)
    with fake_cuda() as d:
        det=Detector(parts(name,build(name,4,72,0)),2,r,0)
        p=Pictures(pack,t.train,r,0,GPU)
        calibrate(det,p,0)
        print("calibrate"); show(d); d.where.clear()
        v,g=next(p.epoch(0))
        print(locate(det,v,g,r))
        print("locate"); show(d); d.where.clear()
        print(find(det,Pictures(pack,t.test,r,0,GPU),t.test.classes,GPU)[0])
        print("find"); show(d)

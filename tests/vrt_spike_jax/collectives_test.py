"""Collectives are counted as often as they run, with the bytes that pass."""

from vrt_spike_jax.collectives import Collective, collectives_of

# As XLA writes it: a loop of five trips around a gather, within a call, and sums in the
# two forms that it has on a CPU and on a TPU.
TEXT = """HloModule jit_step, is_scheduled=true

%add (x: f32[], y: f32[]) -> f32[] {
  ROOT %sum = f32[] add(%x, %y)
}

%body.1 (state: (s32[], f32[8,4])) -> (s32[], f32[8,4]) {
  %part = bf16[2,4]{1,0} get-tuple-element(%state), index=1
  %all-gather.1 = bf16[16,4]{1,0} all-gather(%part), replica_groups=[1,8]<=[8], dimensions={0}
  ROOT %next = (s32[], f32[8,4]) tuple(%i, %all-gather.1)
}

%condition.1 (state: (s32[], f32[8,4])) -> pred[] {
  ROOT %more = pred[] compare(%i, %n), direction=LT
}

ENTRY %main.0_spmd (a: f32[256], b: f32[3]) -> f32[] {
  %loop = (s32[], f32[8,4]) while(%init), condition=%condition.1, body=%body.1, backend_config={"known_trip_count":{"n":"5"}}
  %all-reduce.1 = f32[256]{0} all-reduce(%a), replica_groups={{0,1,2,3},{4,5,6,7}}, to_apply=%add
  %all-reduce-start.1 = f32[3]{0:T(128)} all-reduce-start(%b), replica_groups=[2,4]<=[8], to_apply=%add
  %all-reduce-done.1 = f32[3]{0} all-reduce-done(%all-reduce-start.1)
  %reduce-scatter.1 = f32[32]{0} reduce-scatter(%c), replica_groups=[1,8]<=[8], to_apply=%add
  %permute.1 = f32[9]{0} collective-permute(%d), source_target_pairs={{0,7},{7,0},{1,6}}
  %all-to-all.1 = f32[7]{0} all-to-all(%e), replica_groups=mesh['a'=4,'b'=2] {'a':(1)2,'b'}
  ROOT %done = f32[] constant(0)
}
"""  # noqa: E501


def test_each_kind_counts_with_its_loops_and_its_devices():
    found = collectives_of(TEXT)
    assert Collective("all-gather", 8, count=5, bytes=5 * 16 * 4 * 2) in found
    reduces = next(c for c in found if c.kind == "all-reduce")
    assert (reduces.devices, reduces.count) == (4, 2)
    assert Collective("reduce-scatter", 8, count=1, bytes=256 * 4) in found
    assert Collective("collective-permute", 4, count=1, bytes=9 * 4) in found
    assert Collective("all-to-all", 4, count=1, bytes=7 * 4) in found
    assert len(found) == 5


def test_a_done_is_no_second_collective_and_a_start_counts_its_bytes_once():
    reduces = next(c for c in collectives_of(TEXT) if c.kind == "all-reduce")
    assert reduces.bytes == 256 * 4 + 3 * 4


def test_one_device_has_none():
    assert (
        collectives_of("ENTRY %main (a: f32[]) -> f32[] {\n  ROOT %a = f32[]\n}") == []
    )

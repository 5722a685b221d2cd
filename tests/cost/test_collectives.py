"""Reading the collectives of a program, in the spellings of XLA for CPUs and for TPUs."""

from refvae_jax.cost.collectives import Collective, collectives

PROGRAM = """
HloModule jit_update, is_scheduled=true
  %all-reduce.1 = (f32[8]{0}, f32[2,3]{1,0}) all-reduce(%a, %b), channel_id=1
  all-reduce.7 = f32[]{:T(128)} all-reduce(x), channel_id=9, to_apply=add
  %all-gather.2 = bf16[32,8]{1,0:T(8,128)(2,1)S(1)} all-gather(%c), dimensions={0}
  %ag = (s32[8]{0}, s32[32]{0}) all-gather-start(%d), dimensions={0}
  %agd = s32[32]{0} all-gather-done(%ag)
  %two = ((bf16[8]{0}, f32[2]{0}), (bf16[32]{0}, f32[8]{0})) all-gather-start(%l, %m), channel_id=2
  %rs = (f32[64]{0}, f32[16]{0}, u32[]{:S(2)}) reduce-scatter-start(%n), channel_id=4
  %ars = (f32[8]{0}, f32[4]{0}) all-reduce-start(%e, %f), channel_id=3
  %ard = (f32[8]{0}, f32[4]{0}) all-reduce-done(%ars)
  %cp = (f32[4,2]{1,0}, f32[4,2]{1,0}, u32[], u32[]) collective-permute-start(%g)
  %a2a = (pred[1,8]{1,0}, /*index=1*/pred[1,8]{1,0}) all-to-all(%h, %i)
  %part.1 = f32[16]{0:T(128)} all-gather(%j), channel_id=12, dimensions={0}
  %part.2 = f32[16]{0:T(128)S(1)} all-gather(%k), channel_id=12, dimensions={0}
  %fusion = f32[4]{0} fusion(%all-reduce.1), kind=kLoop, calls=%all-gather_fusion
"""


def test_every_collective_is_counted_once_with_the_bytes_of_its_result():
    assert list(collectives(PROGRAM)) == [
        Collective("all-reduce", 4 * (8 + 6)),
        Collective("all-reduce", 4),
        Collective("all-gather", 2 * 32 * 8),
        Collective("all-gather", 4 * 32),
        Collective("all-gather", 2 * 32 + 4 * 8),
        Collective("reduce-scatter", 4 * 16),
        Collective("all-reduce", 4 * 12),
        Collective("collective-permute", 4 * 8),
        Collective("all-to-all", 16),
        Collective("all-gather", 64),
    ]

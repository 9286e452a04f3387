//! Which GPUs a task gets (D-271).

use super::{Busy, Demand, Gpu};

/// The GPUs of the pool that nobody has, in the pool's order.
pub(super) fn free(pool: &[Gpu], busy: &Busy) -> Vec<Gpu> {
    let free = pool.iter().filter(|gpu| !busy.has(**gpu));
    free.copied().collect()
}

/// The first of the free GPUs, as many as the task may have; none where they are too few.
pub(super) fn choose(free: &[Gpu], demand: Demand) -> Option<&[Gpu]> {
    let count = demand.most.min(free.len());
    (count >= demand.least).then(|| &free[..count])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gpus(indexes: &[u32]) -> Vec<Gpu> {
        indexes.iter().map(|index| Gpu::whole(*index)).collect()
    }

    /// D-269, D-271
    #[test]
    fn the_first_free_gpus_are_given_in_the_order_of_the_pool() {
        let pool = gpus(&[3, 0, 1, 2]);
        let mut busy = Busy::default();
        busy.add(Gpu::whole(0));
        busy.add(Gpu {
            index: 7,
            part: Some(1),
        });
        let free = free(&pool, &busy);
        assert_eq!(free, gpus(&[3, 1, 2]));
        for (least, most, expected) in [
            (1, 1, Some(vec![3])),
            (2, 2, Some(vec![3, 1])),
            (1, 8, Some(vec![3, 1, 2])),
            (3, 4, Some(vec![3, 1, 2])),
            (4, 4, None),
        ] {
            let chosen = choose(&free, Demand { least, most }).map(<[Gpu]>::to_vec);
            assert_eq!(
                chosen,
                expected.map(|list| gpus(&list)),
                "{least} to {most}"
            );
        }
        assert_eq!(choose(&[], Demand { least: 1, most: 1 }), None);
    }
}

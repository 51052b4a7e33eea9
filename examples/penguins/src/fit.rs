//! Least squares with one slope and one intercept per group, and what resampling says of the slope.

/// One complete row.
#[derive(Clone, Copy)]
pub(crate) struct Bird {
    pub(crate) species: usize,
    pub(crate) flipper: f64,
    pub(crate) mass: f64,
}

pub(crate) struct Fit {
    pub(crate) slope: f64,
    pub(crate) intercepts: Vec<f64>,
    pub(crate) r_squared: f64,
}

#[derive(Clone, Copy, Default)]
struct Mean {
    count: f64,
    flipper: f64,
    mass: f64,
}

impl Fit {
    /// `None` if a group is empty or all flippers of each group are equal.
    pub(crate) fn of(birds: &[Bird], groups: usize) -> Option<Self> {
        let means = means(birds, groups)?;
        let slope = slope(birds, &means)?;
        let intercepts: Vec<f64> = means.iter().map(|mean| mean.mass - slope * mean.flipper).collect();
        let overall = birds.iter().map(|bird| bird.mass).sum::<f64>() / birds.len() as f64;
        let (mut residual, mut total) = (0.0, 0.0);
        for bird in birds {
            residual += (bird.mass - intercepts[bird.species] - slope * bird.flipper).powi(2);
            total += (bird.mass - overall).powi(2);
        }
        Some(Self { slope, intercepts, r_squared: 1.0 - residual / total })
    }
}

/// The middle 95 % of the slopes of resampled birds.
pub(crate) fn bootstrap(birds: &[Bird], groups: usize, rounds: usize, seed: u64) -> Option<(f64, f64)> {
    let mut random = SplitMix(seed);
    let mut slopes = Vec::with_capacity(rounds);
    let mut sample = birds.to_vec();
    while slopes.len() < rounds {
        sample.iter_mut().for_each(|bird| *bird = birds[random.below(birds.len())]);
        if let Some(slope) = means(&sample, groups).and_then(|means| slope(&sample, &means)) {
            slopes.push(slope);
        }
    }
    slopes.sort_by(f64::total_cmp);
    Some((*slopes.get(rounds / 40)?, *slopes.get(rounds - 1 - rounds / 40)?))
}

/// How often masses shuffled within their species give a slope at least as steep.
pub(crate) fn permutation_test(
    birds: &[Bird],
    groups: usize,
    observed: f64,
    rounds: usize,
    seed: u64,
) -> Option<f64> {
    let mut random = SplitMix(seed ^ u64::MAX);
    let mut shuffled = birds.to_vec();
    shuffled.sort_by_key(|bird| bird.species);
    let bounds: Vec<usize> =
        (0..=groups).map(|group| shuffled.partition_point(|bird| bird.species < group)).collect();
    let means = means(&shuffled, groups)?;
    let mut steeper = 0;
    for _ in 0..rounds {
        for bound in bounds.windows(2) {
            let group = &mut shuffled[bound[0]..bound[1]];
            for last in (1..group.len()).rev() {
                let other = random.below(last + 1);
                let mass = group[last].mass;
                group[last].mass = group[other].mass;
                group[other].mass = mass;
            }
        }
        steeper += usize::from(slope(&shuffled, &means)?.abs() >= observed.abs());
    }
    Some((steeper + 1) as f64 / (rounds + 1) as f64)
}

fn means(birds: &[Bird], groups: usize) -> Option<Vec<Mean>> {
    let mut means = vec![Mean::default(); groups];
    for bird in birds {
        let mean = &mut means[bird.species];
        mean.count += 1.0;
        mean.flipper += bird.flipper;
        mean.mass += bird.mass;
    }
    for mean in &mut means {
        if mean.count == 0.0 {
            return None;
        }
        mean.flipper /= mean.count;
        mean.mass /= mean.count;
    }
    Some(means)
}

fn slope(birds: &[Bird], means: &[Mean]) -> Option<f64> {
    let (mut covariance, mut variance) = (0.0, 0.0);
    for bird in birds {
        let mean = &means[bird.species];
        covariance += (bird.flipper - mean.flipper) * (bird.mass - mean.mass);
        variance += (bird.flipper - mean.flipper).powi(2);
    }
    (variance > 0.0).then(|| covariance / variance)
}

/// Steele, Lea and Flood's SplitMix64: tiny, and good enough to shuffle penguins.
struct SplitMix(u64);

impl SplitMix {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        ((u128::from(self.next()) * bound as u128) >> 64) as usize
    }
}

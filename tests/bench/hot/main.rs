//! The parts that read every byte, or run before anything else: `cargo bench --bench hot`.
#![expect(
    clippy::unwrap_used,
    reason = "a measurement that meets what it does not expect ends, as a test does"
)]

use std::hint::black_box;

use clearml_agent::container::args::{self, ApiVersion, HostContext};
use clearml_agent::logs::{Batch, Level, LineRules};
use clearml_agent::secrets::Masker;
use clearml_agent::settings::hocon::{self, Source, World};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

/// As much as the agent reads of a console at once.
const CHUNK: usize = 64 * 1024;

fn console(end: &str) -> Vec<u8> {
    let line = format!("epoch 17 step 1234 loss 0.123456 accuracy 0.98765 learning rate 1e-4{end}");
    line.into_bytes().into_iter().cycle().take(CHUNK).collect()
}

fn configuration(criterion: &mut Criterion) {
    let text = include_str!("../../../clearml.conf.sample");
    let mut group = criterion.benchmark_group("hocon");
    group.throughput(Throughput::Bytes(text.len() as u64));
    group.bench_function("clearml.conf.sample", |bencher| {
        bencher.iter(|| {
            let world = World::new(&|_| None);
            hocon::parse(black_box(text), Source::Text, world).unwrap()
        });
    });
    group.finish();
}

fn redactor(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("redactor");
    let bytes = console("\n");
    group.throughput(Throughput::Bytes(bytes.len() as u64));
    for count in [1, 20, 1000] {
        let secrets: Vec<String> = (0..count)
            .map(|number| format!("secret-of-somebody-{number}"))
            .collect();
        let masker = Masker::new(&secrets);
        group.bench_function(format!("{count} secrets"), |bencher| {
            bencher.iter(|| masker.mask_bytes(black_box(&bytes)));
        });
    }
    group.finish();
}

fn lines(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("lines");
    group.throughput(Throughput::Bytes(CHUNK as u64));
    for (name, end) in [("line feeds", "\n"), ("carriage returns", "\r")] {
        let bytes = console(end);
        let rules = LineRules {
            fold_carriage_returns: true,
        };
        group.bench_function(name, |bencher| {
            bencher.iter(|| Batch::split(&rules.text(black_box(&bytes)), Level::Debug, 1));
        });
    }
    group.finish();
}

fn plan(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("plan");
    let line = "--ipc=host -v /data:/data:ro --gpus '\"device=0,1\"' -e NAME=value --shm-size 8g --ulimit memlock=-1 \
                --mount type=bind,source=/home,target=/home --add-host server:10.0.0.1 -p 8080:80 image";
    let words = shlex::split(line).unwrap();
    group.bench_function("words of docker run", |bencher| {
        bencher.iter(|| {
            let command = args::parse(black_box(&words)).unwrap();
            command.create_request(ApiVersion::new(1, 50), &HostContext::default())
        });
    });
    group.finish();
}

criterion_group!(hot, configuration, redactor, lines, plan);
criterion_main!(hot);

//! Metrics of the process, under the names that Prometheus' own client libraries use: processor time, memory, file
//! descriptors, start time. Read from `/proc` at each scrape; on other systems than Linux there are none.

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;

/// Reads the process when it is scraped.
#[derive(Debug)]
pub(super) struct ProcessMetrics;

impl Collector for ProcessMetrics {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        system::encode(encoder)
    }
}

#[cfg(target_os = "linux")]
mod system {
    use procfs::process::{LimitValue, Process};
    use procfs::{ProcResult, boot_time_secs, page_size, ticks_per_second};
    use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
    use prometheus_client::metrics::counter::ConstCounter;
    use prometheus_client::metrics::gauge::ConstGauge;

    /// What a scrape reads. Times are in seconds, sizes in bytes.
    struct Reading {
        cpu_seconds: f64,
        start_seconds: f64,
        resident_bytes: f64,
        virtual_bytes: f64,
        open_files: f64,
        most_open_files: f64,
    }

    /// Adds what can be read; a system that hides `/proc` has none of these metrics.
    pub(super) fn encode(mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let Ok(reading) = read() else {
            return Ok(());
        };
        let cpu = ConstCounter::new(reading.cpu_seconds);
        let descriptor = encoder.encode_descriptor(
            "process_cpu_seconds",
            "User and system processor time in seconds",
            None,
            cpu.metric_type(),
        )?;
        cpu.encode(descriptor)?;
        let gauges = [
            (
                "process_start_time_seconds",
                "Start of the process, Unix time in seconds",
                reading.start_seconds,
            ),
            (
                "process_resident_memory_bytes",
                "Resident memory in bytes",
                reading.resident_bytes,
            ),
            (
                "process_virtual_memory_bytes",
                "Virtual memory in bytes",
                reading.virtual_bytes,
            ),
            ("process_open_fds", "Open file descriptors", reading.open_files),
            (
                "process_max_fds",
                "Limit of open file descriptors",
                reading.most_open_files,
            ),
        ];
        for (name, help, value) in gauges {
            let gauge = ConstGauge::new(value);
            let descriptor = encoder.encode_descriptor(name, help, None, gauge.metric_type())?;
            gauge.encode(descriptor)?;
        }
        Ok(())
    }

    #[allow(
        clippy::cast_precision_loss,
        reason = "Prometheus' values are floats; no count here reaches 2^53"
    )]
    fn read() -> ProcResult<Reading> {
        let process = Process::myself()?;
        let stat = process.stat()?;
        let ticks = ticks_per_second() as f64;
        let most_open_files = match process.limits()?.max_open_files.soft_limit {
            LimitValue::Value(limit) => limit as f64,
            LimitValue::Unlimited => f64::INFINITY,
        };
        Ok(Reading {
            cpu_seconds: (stat.utime + stat.stime) as f64 / ticks,
            start_seconds: boot_time_secs()? as f64 + stat.starttime as f64 / ticks,
            resident_bytes: (stat.rss * page_size()) as f64,
            virtual_bytes: stat.vsize as f64,
            open_files: process.fd_count()? as f64,
            most_open_files,
        })
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    use prometheus_client::encoding::DescriptorEncoder;

    pub(super) fn encode(_encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        Ok(())
    }
}

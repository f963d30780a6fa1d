import CMalloc
import Glibc

/// Reads the memory of this process, in bytes, from `/proc/self/status`. Numbers are 0 where that cannot be read.
package struct ProcessMemory {
    package var resident = 0
    package var peak = 0
    package var anonymous = 0

    /// Has large blocks come from the system and go back to it when they are freed. Without this the C library raises its
    /// threshold with each large block that is freed, and keeps what 32 MiB buffers were cut from. Once, at the start.
    package static func returnLargeBlocks() {
        _ = mallopt(M_MMAP_THRESHOLD, 256 << 10)
        _ = mallopt(M_TRIM_THRESHOLD, 256 << 10)
    }

    /// Reads one small file. Blocks for microseconds; not for the query path.
    package static func read() -> ProcessMemory {
        var result = ProcessMemory()
        let descriptor = open("/proc/self/status", O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return result }
        defer { close(descriptor) }
        var bytes = [UInt8](repeating: 0, count: 8_192)
        let count = bytes.withUnsafeMutableBytes { Glibc.read(descriptor, $0.baseAddress, $0.count) }
        guard count > 0 else { return result }
        let text = String(decoding: bytes.prefix(count), as: UTF8.self)
        for line in text.split(separator: "\n") {
            let words = line.split { $0 == " " || $0 == "\t" }
            guard words.count >= 2, let kilobytes = Int(words[1]), kilobytes < Int.max / 1_024 else { continue }
            switch words[0] {
            case "VmRSS:": result.resident = kilobytes * 1_024
            case "VmHWM:": result.peak = kilobytes * 1_024
            case "RssAnon:": result.anonymous = kilobytes * 1_024
            default: break
            }
        }
        return result
    }
}

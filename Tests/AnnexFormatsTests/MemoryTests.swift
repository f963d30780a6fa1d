import AnnexCore
import AnnexFormats
import AnnexTestSupport
import Foundation
import Testing

/// A reader's memory: the peak of a process that does nothing else, less what it held before, over the float32 matrix.
///
/// Of release builds: a debug build takes minutes, and AddressSanitizer keeps what was given back.
@Suite(.serialized, .enabled(if: TestFiles.isRelease)) struct MemoryTests {
    static let rows = 100_000
    static let dimension = 128
    static let seed: UInt64 = 100_128
    static let bound = 0.3

    @Test(arguments: [
        "c.npy", "fortran.npy", "fortran.npz", "f16.npz", "x.csv", "x.csv.gz", "x.vec", "x.w2v", "x.jsonl",
    ])
    func aReaderHoldsLittle(_ name: String) async throws {
        let folder = try TemporaryFolder()
        let path = try folder.write(name, Self.file(name))
        let result = await #expect(processExitsWith: .success, observing: [\.standardOutputContent]) {
            [path = path as String, name = name as String] in
            let before = try MemoryTests.resetPeak()
            let begin = ContinuousClock.now
            let reader = try FactorSource(path).open(skipBadRows: false)
            var block = RowBlock()
            var rows = 0
            while try reader.next(&block) { rows += block.count }
            let growth = try MemoryTests.status("VmHWM") - before
            let ratio = Double(growth) / Double(MemoryTests.rows * MemoryTests.dimension * 4)
            let seconds = (ContinuousClock.now - begin) / .seconds(1)
            let figures = "\(growth >> 10) KiB, \(String(format: "%.3f of the matrix, %.2f s", ratio, seconds))"
            print("aReaderHoldsLittle: \(name) \(figures)")
            #expect(rows == MemoryTests.rows)
            #expect(ratio <= MemoryTests.bound, "\(name): \(ratio)")
        }
        let output = String(decoding: result?.standardOutputContent ?? [], as: UTF8.self)
        for line in output.split(separator: "\n") where line.hasPrefix("aReaderHoldsLittle") { print(line) }
    }

    /// Makes the peak start anew; returns what is resident now, in bytes.
    static func resetPeak() throws -> Int {
        let descriptor = open("/proc/self/clear_refs", O_WRONLY)
        try #require(descriptor >= 0 && write(descriptor, "5", 1) == 1)
        close(descriptor)
        return try Self.status("VmRSS")
    }

    /// A line of /proc/self/status, in bytes.
    static func status(_ name: String) throws -> Int {
        let text = try String(contentsOfFile: "/proc/self/status", encoding: .utf8)
        let line = try #require(text.split(separator: "\n").first { $0.hasPrefix(name + ":") })
        let digits = line.filter(\.isNumber)
        return try #require(Int(digits)) << 10
    }

    // MARK: Files

    static func file(_ name: String) -> Data {
        let shape = "(\(Self.rows), \(Self.dimension))"
        switch name {
        case "c.npy": return TestFiles.npy("<f4", fortran: false, Self.binary { $0.bitPattern }, shape: shape)
        case "fortran.npy":
            return TestFiles.npy("<f8", fortran: true, Self.binary { Double($0).bitPattern }, shape: shape)
        case "fortran.npz":
            let npy = TestFiles.npy("<f4", fortran: true, Self.binary { $0.bitPattern }, shape: shape)
            return TestFiles.npz("x.npy", npy, deflated: true)
        case "f16.npz":
            let npy = TestFiles.npy("<f2", fortran: false, Self.binary { Float16($0).bitPattern }, shape: shape)
            return TestFiles.npz("x.npy", npy, deflated: true)
        case "x.csv": return Self.text(before: { "i\($0)," }, between: ",", after: "\n")
        case "x.csv.gz": return TestFiles.gzip(Self.text(before: { "i\($0)," }, between: ",", after: "\n"))
        case "x.vec": return Self.text(before: { "w\($0) " }, between: " ", after: "\n")
        case "x.jsonl": return Self.text(before: { "{\"id\":\($0),\"vector\":[" }, between: ", ", after: "]}\n")
        default:
            let values = Self.binary { $0.bitPattern }
            let width = Self.dimension * 4
            var data = Data("\(Self.rows) \(Self.dimension)\n".utf8)
            for row in 0..<Self.rows { data += Data("w\(row) ".utf8) + values[row * width..<(row + 1) * width] }
            return data
        }
    }

    static func binary<T>(_ bits: (Float) -> T) -> Data {
        var random = SeededRandom(seed: Self.seed)
        var values: [T] = []
        values.reserveCapacity(Self.rows * Self.dimension)
        for _ in 0..<Self.rows * Self.dimension {
            values.append(bits(Float(Int16(truncatingIfNeeded: random.next())) / 64))
        }
        return values.withUnsafeBytes { Data($0) }
    }

    static func text(before: (Int) -> String, between: String, after: String) -> Data {
        var random = SeededRandom(seed: Self.seed)
        let words = (0..<4_096).map { Array("\(Float($0 - 2_048) * 0.00137)".utf8) }
        var out: [UInt8] = []
        out.reserveCapacity(Self.rows * Self.dimension * 12)
        for row in 0..<Self.rows {
            out.append(contentsOf: before(row).utf8)
            for column in 0..<Self.dimension {
                if column > 0 { out.append(contentsOf: between.utf8) }
                out.append(contentsOf: words[Int(truncatingIfNeeded: random.next() & 4_095)])
            }
            out.append(contentsOf: after.utf8)
        }
        return Data(out)
    }
}

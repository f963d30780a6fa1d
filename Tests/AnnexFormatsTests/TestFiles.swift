import AnnexCore
import AnnexFormats
import AnnexTestSupport
import CZlib
import Foundation

/// Files for tests, made without the code under test.
enum TestFiles {
    /// Debug builds, those with sanitizers too, do less of what repeats.
    #if DEBUG
    static let isRelease = false
    #else
    static let isRelease = true
    #endif

    static func npy(_ descr: String, fortran: Bool, _ body: Data, shape: String, behind: String = "") -> Data {
        let header = "{'descr': '\(descr)', 'fortran_order': \(fortran ? "True" : "False"), 'shape': \(shape), }"
        let padded = (header + behind).padding(toLength: 117, withPad: " ", startingAt: 0) + "\n"
        return Data([0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59, 1, 0, 118, 0]) + Data(padded.utf8) + body
    }

    static func little(_ value: Int, _ bytes: Int) -> Data {
        Data((0..<bytes).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) })
    }

    static func crc(_ data: Data) -> Int {
        data.withUnsafeBytes { Int(crc32_z(0, $0.baseAddress?.assumingMemoryBound(to: UInt8.self), $0.count)) }
    }

    /// Raw deflate: zlib's format without its two bytes in front and four behind.
    static func deflate(_ data: Data) -> Data {
        var room = compressBound(UInt(data.count))
        var out = [UInt8](repeating: 0, count: Int(room))
        let status = data.withUnsafeBytes {
            compress2(&out, &room, $0.baseAddress?.assumingMemoryBound(to: UInt8.self), UInt($0.count), 1)
        }
        precondition(status == Z_OK)
        return Data(out[2..<Int(room) - 4])
    }

    static func gzip(_ data: Data) -> Data {
        Data([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff]) + Self.deflate(data) + Self.little(Self.crc(data), 4)
            + Self.little(data.count, 4)
    }

    /// A ZIP archive of one member. `wide`: the end record is ZIP64's.
    static func npz(_ name: String, _ data: Data, deflated: Bool, flags: Int = 0, wide: Bool = false) -> Data {
        let packed = deflated ? Self.deflate(data) : data
        let common =
            Self.little(20, 2) + Self.little(flags, 2) + Self.little(deflated ? 8 : 0, 2) + Self.little(0, 4)
            + Self.little(Self.crc(data), 4) + Self.little(packed.count, 4) + Self.little(data.count, 4)
            + Self.little(name.utf8.count, 2) + Self.little(0, 2)
        let local = Data([0x50, 0x4b, 3, 4]) + common + Data(name.utf8)
        let central = Data([0x50, 0x4b, 1, 2, 20, 0]) + common + Data(count: 14) + Data(name.utf8)
        let begin = local.count + packed.count
        var file = local + packed + central
        if wide {
            let place = file.count
            file += Data([0x50, 0x4b, 6, 6]) + Self.little(44, 8) + Data(count: 12) + Self.little(1, 8)
            file += Self.little(1, 8) + Self.little(central.count, 8) + Self.little(begin, 8)
            file += Data([0x50, 0x4b, 6, 7]) + Data(count: 4) + Self.little(place, 8) + Self.little(1, 4)
        }
        let counts = wide ? Data(repeating: 0xff, count: 12) : Data([1, 0, 1, 0]) + Self.little(central.count, 4)
        file += Data([0x50, 0x4b, 5, 6]) + Data(count: 4) + counts
        return file + (wide ? Data() : Self.little(begin, 4)) + Data(count: 2)
    }

    /// A ZIP archive of several members.
    static func npz(_ members: [(String, Data)], deflated: Bool) -> Data {
        var file = Data()
        var directory = Data()
        for (name, data) in members {
            let packed = deflated ? Self.deflate(data) : data
            let common =
                Self.little(20, 2) + Self.little(0, 2) + Self.little(deflated ? 8 : 0, 2) + Self.little(0, 4)
                + Self.little(Self.crc(data), 4) + Self.little(packed.count, 4) + Self.little(data.count, 4)
                + Self.little(name.utf8.count, 2) + Self.little(0, 2)
            directory += Data([0x50, 0x4b, 1, 2, 20, 0]) + common + Data(count: 10) + Self.little(file.count, 4)
            directory += Data(name.utf8)
            file += Data([0x50, 0x4b, 3, 4]) + common + Data(name.utf8) + packed
        }
        let place = file.count
        file += directory + Data([0x50, 0x4b, 5, 6]) + Data(count: 4)
        return file + Self.little(members.count, 2) + Self.little(members.count, 2) + Self.little(directory.count, 4)
            + Self.little(place, 4) + Data(count: 2)
    }
}

/// All that a reader says of a file.
struct ReadFile {
    var rows: [[Float]] = []
    var ids: [String] = []
    var numbers: [Int] = []
    var lines: [Int] = []
    var rejects: [RejectedRow] = []
    var rowsRead = 0

    init(_ path: String, skipBadRows: Bool = false) throws {
        try self.init(path, FactorRules(skipBadRows: skipBadRows))
    }

    init(_ path: String, _ rules: FactorRules) throws {
        let reader = try FactorSource(path).open(rules)
        var block = RowBlock()
        while try reader.next(&block) {
            for row in 0..<block.count {
                self.rows.append(Array(block.values[row * reader.dimension..<(row + 1) * reader.dimension]))
            }
            self.ids += block.identifiers.map(\.description)
            self.numbers += block.rowNumbers
            self.lines += block.lines
        }
        self.rejects = reader.rejects
        self.rowsRead = reader.rowsRead
    }
}

extension TemporaryFolder {
    /// Writes a file; returns its path.
    func write(_ name: String, _ data: Data) throws -> String {
        try data.write(to: URL(fileURLWithPath: self.file(name)))
        return self.file(name)
    }

    func write(_ name: String, _ text: String) throws -> String { try self.write(name, Data(text.utf8)) }
}

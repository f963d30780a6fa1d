import AnnexCore
import AnnexStore
import AnnexTestSupport
import Foundation
import Testing

/// Damaged files without checksums in front: read or refused, and the process lives.
@Suite struct PageCheckTests {
    private static let seed: UInt64 = 20_240_517

    /// Branch pages, values within pages and values on pages of their own.
    private func write(_ path: String) throws {
        let writer = try ItemStoreWriter(path: path)
        for number in 0..<600 {
            let id = try #require(Identifier("item-\(1_000 + number)-" + String(repeating: "x", count: number % 40)))
            try writer.append(id, attributes: [UInt8](repeating: 0x20, count: number % 50 == 0 ? 9_000 : number % 90))
        }
        try writer.finish()
    }

    private func readAll(_ path: String) throws -> Int {
        let store = try ItemStore(path: path)
        let reader = try store.makeReader()
        var bytes = 0
        for ordinal in 0..<Int32(store.count) {
            #expect(reader.ordinal(of: store.identifier(ordinal).span) != -1)
            reader.withAttributes(ordinal) { text in
                if let text { bytes += text.indices.reduce(0) { $0 &+ Int(text[$1] & 1) } }
            }
        }
        return bytes
    }

    @Test func damagedPages() throws {
        let folder = try TemporaryFolder()
        let path = folder.file("items.lmdb")
        try self.write(path)
        let whole = try Data(contentsOf: URL(fileURLWithPath: path))
        _ = try self.readAll(path)
        var random = SeededRandom(seed: Self.seed)
        let pages = whole.count / 4_096
        let tries = 500
        var refused = 0
        for turn in 0..<tries {
            var data = whole
            let page = Int.random(in: 0..<pages, using: &random) * 4_096
            switch turn % 5 {
            case 0:
                data[Int.random(in: 0..<data.count, using: &random)] ^= UInt8(
                    1 << Int.random(in: 0..<8, using: &random)
                )
            case 1: data[page + Int.random(in: 0..<48, using: &random)] = UInt8.random(in: 0...255, using: &random)
            case 2: data = data.prefix(Int.random(in: 0..<pages, using: &random) * 4_096)
            case 3: data.replaceSubrange(page..<page + 4_096, with: whole[(whole.count - 4_096)...])
            default: data[Int.random(in: 0..<8_192, using: &random)] = UInt8.random(in: 0...255, using: &random)
            }
            try data.write(to: URL(fileURLWithPath: path))
            do { _ = try self.readAll(path) } catch let error as AnnexError {
                refused += 1
                #expect(error.location == path, "\(error)")
            }
        }
        #expect(refused > tries / 4)
        print("damagedPages: seed \(Self.seed), \(tries) damaged files, \(refused) refused, the others read")
    }

    /// Only what says where entries lie is damaged: offsets, lengths, flags, and the keys' first bytes. What passes is in order.
    @Test func damagedEntries() throws {
        let folder = try TemporaryFolder()
        let path = folder.file("items.lmdb")
        try self.write(path)
        let whole = try Data(contentsOf: URL(fileURLWithPath: path))
        func small(_ offset: Int) -> Int { Int(whole[offset]) | Int(whole[offset + 1]) << 8 }
        let leaves = stride(from: 8_192, to: whole.count, by: 4_096).filter {
            small($0 + 10) == 2 && small($0 + 12) > 16
        }
        #expect(leaves.count > 10)
        var random = SeededRandom(seed: Self.seed + 1)
        var damaged = [0, 0, 0]
        var refused = [0, 0, 0]
        for turn in 0..<240 {
            var data = whole
            let page = try #require(leaves.randomElement(using: &random))
            let index = Int.random(in: 0..<(small(page + 12) - 16) / 2, using: &random)
            let node = page + small(page + 16 + 2 * index)
            let part = turn % 3
            let at = [page + 16 + 2 * index + turn / 3 % 2, node + turn / 3 % 8, node + 8 + turn / 3 % 4][part]
            let byte = UInt8.random(in: 0...255, using: &random)
            guard data[at] != byte else { continue }
            data[at] = byte
            try data.write(to: URL(fileURLWithPath: path))
            damaged[part] += 1
            do {
                _ = try self.readAll(path)
                let store = try ItemStore(path: path)
                let ids = (0..<Int32(store.count)).map { store.identifier($0) }
                #expect(
                    zip(ids, ids.dropFirst()).allSatisfy { $0.lexicographicallyPrecedes($1) },
                    "turn \(turn), byte \(at)"
                )
            } catch let error as AnnexError {
                refused[part] += 1
                #expect(error.location == path, "\(error)")
            }
        }
        print(
            "damagedEntries: seed \(Self.seed + 1), offsets, headers and keys: \(damaged) damaged, \(refused) refused"
        )
        #expect(refused.allSatisfy { $0 > 20 })
    }

    @Test(arguments: [0, 1, 4_095, 4_096, 8_191]) func filesTooShortForAHeader(_ bytes: Int) throws {
        let folder = try TemporaryFolder()
        try self.write(folder.file("a"))
        try Data(contentsOf: URL(fileURLWithPath: folder.file("a"))).prefix(bytes).write(
            to: URL(fileURLWithPath: folder.file("b"))
        )
        let error = #expect(throws: AnnexError.self) { try ItemStore(path: folder.file("b")) }
        #expect(error?.code == .damaged)
    }
}

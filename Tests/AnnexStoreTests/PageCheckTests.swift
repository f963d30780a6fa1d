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

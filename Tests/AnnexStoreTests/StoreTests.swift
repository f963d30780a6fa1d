import AnnexCore
import AnnexStore
import AnnexTestSupport
import Foundation
import Testing

@Suite struct StoreTests {
    private func id(_ text: String) throws -> Identifier { try #require(Identifier(text)) }

    private func writeItems(_ path: String, _ ids: [Identifier]) throws {
        let writer = try ItemStoreWriter(path: path)
        for (index, id) in ids.enumerated() {
            try writer.append(id, attributes: index % 3 == 0 ? Array("{\"n\":\(index)}".utf8) : nil)
        }
        try writer.finish()
    }

    @Test func itemsBothWays() throws {
        let folder = try TemporaryFolder()
        let path = folder.file("items.lmdb")
        let long = String(repeating: "z", count: 255)
        let ids = try (["a", "cafe\u{301}", "caf\u{e9}", long] + (0..<100_000).map { "item-\($0)" }).map(id).sorted()
        try self.writeItems(path, ids)
        let store = try ItemStore(path: path)
        let reader = try store.makeReader()
        #expect(store.count == ids.count)
        #expect(store.attributesCount == (ids.count + 2) / 3)
        for (ordinal, id) in ids.enumerated() {
            let found = reader.ordinal(of: id.bytes.span)
            #expect(found == Int32(ordinal))
            #expect(store.identifier(Int32(ordinal)) == id.bytes)
        }
        for unknown in ["", "b", "item-", String(repeating: "z", count: 256), String(repeating: "z", count: 5_000)] {
            #expect(reader.ordinal(of: Array(unknown.utf8).span) == nil)
        }
        var texts: [[UInt8]?] = []
        for ordinal in Int32(3)...4 {
            reader.withAttributes(ordinal) { text in
                if let text { texts.append(Array(copying: text)) } else { texts.append(nil) }
            }
        }
        #expect(texts == [Array("{\"n\":3}".utf8), nil])
        #expect(!FileManager.default.fileExists(atPath: path + "-lock"))
    }

    @Test func sameItemsSameBytes() throws {
        let folder = try TemporaryFolder()
        let ids = try (0..<20_000).map { try id("i\($0)") }.sorted()
        try self.writeItems(folder.file("1"), ids)
        try self.writeItems(folder.file("2"), ids)
        let files = try ["1", "2"].map { try Data(contentsOf: URL(fileURLWithPath: folder.file($0))) }
        #expect(files[0] == files[1])
    }

    @Test func orderIsChecked() throws {
        let folder = try TemporaryFolder()
        let writer = try ItemStoreWriter(path: folder.file("items"))
        try writer.append(self.id("b"), attributes: nil)
        #expect(throws: AnnexError.self) { try writer.append(self.id("a"), attributes: nil) }
        #expect(throws: AnnexError.self) { try writer.append(self.id("b"), attributes: nil) }
    }

    @Test func idsThatNoServerCouldLoadAreRefused() throws {
        let folder = try TemporaryFolder()
        let writer = try ItemStoreWriter(path: folder.file("items"), identifierBytes: 6)
        try writer.append(self.id("abc"), attributes: nil)
        try writer.append(self.id("abd"), attributes: nil)
        let failure = #expect(throws: AnnexError.self) { try writer.append(self.id("b"), attributes: nil) }
        #expect(failure?.code == .limit)
        try writer.finish()
        #expect(try ItemStore(path: folder.file("items")).count == 2, "at the limit")
    }

    @Test func usersInSixteenBlocks() throws {
        let folder = try TemporaryFolder()
        var random = SeededRandom(seed: 11)
        let users = try (0..<5_000).map { try id("user-\($0)") }.sorted()
        let vectors = users.map { _ in (0..<7).map { _ in random.normal() } }
        let writer = try UserStoreWriter(folder: folder.file("users"), dimension: 7)
        for (user, vector) in zip(users, vectors) {
            try writer.append(user, vector: vector.span)
        }
        try writer.finish()
        #expect(try FileManager.default.contentsOfDirectory(atPath: folder.file("users")).count == 16)
        let store = try UserStore(folder: folder.file("users"), dimension: 7)
        #expect(store.count == 5_000)
        DispatchQueue.concurrentPerform(iterations: 4) { _ in
            guard let reader = try? store.makeReader() else {
                Issue.record("no reader")
                return
            }
            var target = [Float](repeating: 0, count: 7)
            for (user, vector) in zip(users, vectors) {
                let found = reader.copyVector(of: user.bytes.span, into: &target)
                #expect(found && target == vector)
            }
        }
        #expect(throws: AnnexError.self) { try UserStore(folder: folder.file("users"), dimension: 8) }
    }

    /// A user may have a vector, a history, or both.
    @Test func histories() throws {
        let folder = try TemporaryFolder()
        var random = SeededRandom(seed: 12)
        let users = try (0..<600).map { try id("user-\($0)") }.sorted()
        // Up to some that do not fit a page.
        let all = (0..<600).map { number in
            number % 3 == 0
                ? [] : (0..<Int32(number * 2)).map { HistoryEntry(ordinal: $0 * 3, weight: random.normal()) }
        }
        let writer = try UserStoreWriter(folder: folder.file("users"), dimension: 2, withHistories: true)
        for (number, user) in users.enumerated() {
            let vector = [Float(number), 1]
            try writer.append(user, vector: number % 5 == 0 ? nil : vector.span, history: all[number])
        }
        try writer.finish()
        let store = try UserStore(folder: folder.file("users"), dimension: 2, itemCount: 3_600)
        #expect(store.count == 480 && store.historyCount == 400)
        let reader = try store.makeReader()
        for (number, user) in users.enumerated() {
            let found = reader.withHistory(of: user.bytes.span) { view in
                view.map { view in
                    (0..<view.count).map { HistoryEntry(ordinal: view.ordinal($0), weight: view.weight($0)) }
                }
            }
            #expect(found == (all[number].isEmpty ? nil : all[number]))
        }
        let unknown: [UInt8] = [1, 2, 3]
        #expect(reader.withHistory(of: unknown.span) { $0 == nil })
        #expect(throws: AnnexError.self, "an ordinal beyond the items") {
            try UserStore(folder: folder.file("users"), dimension: 2, itemCount: 3_000)
        }
    }

    @Test(
        arguments: [
            [(1, 1), (1, 2)], [(2, 1), (1, 1)], [(-1, 1)], [(1, .nan)], [(1, -.infinity)],
        ] as [[(Int32, Float)]]
    )
    func historiesThatAreWrong(_ entries: [(Int32, Float)]) throws {
        let folder = try TemporaryFolder()
        let writer = try UserStoreWriter(folder: folder.file("users"), dimension: 2, withHistories: true)
        try writer.append(
            self.id("u"),
            vector: nil,
            history: entries.map { HistoryEntry(ordinal: $0.0, weight: $0.1) }
        )
        try writer.finish()
        let error = #expect(throws: AnnexError.self) { try UserStore(folder: folder.file("users"), dimension: 2) }
        #expect(error?.code == .damaged)
    }

    @Test func withoutHistoriesThereAreNone() throws {
        let folder = try TemporaryFolder()
        let writer = try UserStoreWriter(folder: folder.file("users"), dimension: 2)
        try writer.append(self.id("u"), vector: [Float(1), 1].span)
        try writer.finish()
        let store = try UserStore(folder: folder.file("users"), dimension: 2)
        let reader = try store.makeReader()
        #expect(store.historyCount == 0)
        #expect(reader.withHistory(of: Array("u".utf8).span) { $0 == nil })
    }

    /// Readers come and go on many threads while a version is swapped; LMDB's handles must survive that.
    @Test func readersComeAndGoOnManyThreads() throws {
        let folder = try TemporaryFolder()
        let ids = try (0..<500).map { try id("i\($0)") }.sorted()
        try self.writeItems(folder.file("items"), ids)
        let writer = try UserStoreWriter(folder: folder.file("users"), dimension: 2)
        for id in ids { try writer.append(id, vector: [Float(1), 2].span) }
        try writer.finish()
        for _ in 0..<20 {
            let items = try ItemStore(path: folder.file("items"))
            let users = try UserStore(folder: folder.file("users"), dimension: 2)
            DispatchQueue.concurrentPerform(iterations: 8) { _ in
                for round in 0..<20 {
                    guard let item = try? items.makeReader(), let user = try? users.makeReader() else {
                        Issue.record("no reader")
                        return
                    }
                    let id = ids[round * 7]
                    var target: [Float] = [0, 0]
                    #expect(item.ordinal(of: id.bytes.span) == Int32(round * 7))
                    let isFound = user.copyVector(of: id.bytes.span, into: &target)
                    #expect(isFound)
                    #expect(target == [1, 2])
                }
            }
        }
    }

    @Test func noUsersIsAStoreToo() throws {
        let folder = try TemporaryFolder()
        try UserStoreWriter(folder: folder.file("users"), dimension: 3).finish()
        #expect(try UserStore(folder: folder.file("users"), dimension: 3).count == 0)
    }

    @Test func readOnlyFolder() throws {
        let folder = try TemporaryFolder()
        try self.writeItems(folder.file("items"), [self.id("x")])
        try FileManager.default.setAttributes([.posixPermissions: 0o555], ofItemAtPath: folder.path)
        defer { try? FileManager.default.setAttributes([.posixPermissions: 0o755], ofItemAtPath: folder.path) }
        #expect(try ItemStore(path: folder.file("items")).count == 1)
        #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path) == ["items"])
    }

    @Test func foreignFilesAreRefused() throws {
        let folder = try TemporaryFolder()
        #expect(throws: AnnexError.self) { try ItemStore(path: folder.file("absent")) }
        try Data("this is no LMDB file".utf8).write(to: URL(fileURLWithPath: folder.file("text")))
        #expect(throws: AnnexError.self) { try ItemStore(path: folder.file("text")) }
        try UserStoreWriter(folder: folder.file("users"), dimension: 3).finish()
        #expect(throws: AnnexError.self) { try ItemStore(path: folder.file("users/00.lmdb")) }
    }
}

import AnnexCore
import AnnexTestSupport
import AnnexTools
import AnnexWire
import Foundation
import Testing

@Suite struct IngestTests {
    private static func event(_ user: String, _ item: String = "x") -> IngestLine {
        let id = Identifier(user)!
        let event = IngestEvent(user: id, item: Identifier(item)!, weight: 1, time: 1)
        return IngestLine(text: Array("\(user)\t\(item)".utf8), content: .event(event))
    }

    private static func text(_ bytes: [UInt8]) -> String { String(decoding: bytes, as: UTF8.self) }

    // MARK: The window

    @Test func aLineIsDoneWhenAllBeforeItAre() {
        var window = IngestWindow(lanes: 64, done: 10)
        let users = (0..<20).map { "user\($0)" }
        var lanes: [Int] = []
        for user in users { if let lane = window.add(Self.event(user)) { lanes.append(lane) } }
        #expect(lanes.count == 20 && Set(lanes).count > 10 && window.done == 10 && !window.isEmpty)
        for lane in lanes.dropFirst().reversed() { window.settle(lane, rejection: nil) }
        // The first line's lane had others too, which were settled in their order.
        #expect(window.done == 10 + (lanes.dropFirst().contains(lanes[0]) ? 1 : 0))
        while let lane = lanes.first(where: { window.event(of: $0) != nil }) { window.settle(lane, rejection: nil) }
        #expect(window.done == 30 && window.acknowledged == 20 && window.isEmpty && window.rejects.isEmpty)
    }

    @Test func rejectsKeepTheOrderOfTheFile() {
        var window = IngestWindow(lanes: 1, done: 0)
        let heading = window.add(IngestLine(text: Array("user\titem".utf8), content: .nothing))
        #expect(heading == nil && window.done == 1)
        let bad = IngestLine(text: Array("bad\r".utf8), content: .problem("too short"))
        let lanes = [Self.event("a"), bad, Self.event("b", "y")].map { window.add($0) }
        #expect(lanes == [0, nil, 0])
        #expect(window.done == 1 && window.rejects.isEmpty)
        window.settle(0, rejection: "NOITEM no such item")
        #expect(window.done == 3 && window.rejected == 2 && window.acknowledged == 0)
        #expect(window.event(of: 0)?.item == Identifier("y"))
        window.settle(0, rejection: nil)
        #expect(window.event(of: 0) == nil && window.isEmpty && window.acknowledged == 1)
        #expect(Self.text(window.rejects) == "2\tNOITEM no such item\ta\tx\n3\ttoo short\tbad\r\n")
    }

    @Test func theWindowIsBounded() {
        var window = IngestWindow(lanes: 2, done: 0, maximumLines: 3, maximumBytes: 100)
        for _ in 0..<3 {
            #expect(window.hasRoom)
            _ = window.add(Self.event("a"))
        }
        #expect(!window.hasRoom)
        var wide = IngestWindow(lanes: 2, done: 0, maximumLines: 100, maximumBytes: 100)
        _ = wide.add(Self.event("a", String(repeating: "x", count: 97)))
        #expect(wide.hasRoom)
        _ = wide.add(Self.event("a"))
        #expect(!wide.hasRoom)
    }

    /// A random walk against a plain model: each user's events come in their order, on one lane, and once.
    @Test func usersKeepTheirOrder() throws {
        var random = SeededRandom(seed: 62)
        var window = IngestWindow(lanes: 5, done: 0, maximumLines: 50)
        var (next, waiting): (Int, [String: [Int]]) = (0, [:])
        while next < 2_000 || !window.isEmpty {
            if next < 2_000, window.hasRoom, random.next() % 2 == 0 {
                let user = "u\(random.next() % 17)"
                let lane = window.add(Self.event(user, "\(next)"))
                #expect(lane.map { (0..<5).contains($0) } == true)
                waiting[user, default: []].append(next)
                next += 1
            } else if let lane = (0..<5).filter({ window.event(of: $0) != nil }).randomElement(using: &random) {
                let event = try #require(window.event(of: lane))
                let first = waiting[event.user.description]?.removeFirst()
                #expect(event.item.description == first.map(String.init))
                window.settle(lane, rejection: nil)
            }
        }
        #expect(window.done == 2_000 && window.acknowledged == 2_000)
    }

    // MARK: Times

    @Test func linesWithoutATimeFollowOneAnother() {
        var clock = IngestClock(base: 1_000)
        let (a, b) = (Identifier("a")!, Identifier("b")!)
        let times = [a, a, b, a].map { clock.stamp($0) }
        #expect(times == [1_000, 1_001, 1_000, 1_002])
        var late = IngestClock(base: .max)
        let latest = [a, a].map { late.stamp($0) }
        #expect(latest == [.max, .max])
        // A hundred thousand users once each stay close together.
        var many = IngestClock(base: 0)
        let close = (0..<100_000).compactMap { Identifier("user\($0)") }.map { many.stamp($0) }
        #expect((close.max() ?? .max) < 10)
    }

    // MARK: What the server says

    @Test(arguments: [
        ("ERR invalid weight '2e30': give a number from -1e30 to 1e30", IngestAnswer.reject),
        ("ERR invalidated", .notNow),
        ("NOITEM no such item", .reject), ("OVERLOADED too much", .notNow), ("LOADING later", .notNow),
        ("ERR disk full", .notNow), ("NOAUTH first", .never), ("NOINDEX which", .never), ("", .notNow),
        ("ERR unknown command 'EVENT'", .never), ("ERR keeps no state, start it with --state DIR", .never),
        ("NOITEMS", .notNow),
    ])
    func errors(text: String, answer: IngestAnswer) { #expect(IngestAnswer(error: Array(text.utf8)) == answer) }

    @Test func theIndexIsTheOnlyOneOrNamed() throws {
        func index(_ name: String) -> ReplyValue {
            .array([.bulk(Array("name".utf8)), .bulk(Array(name.utf8)), .simple("items"), .integer(3)])
        }
        let one = ServedIndexes(.array([index("shop")]))
        #expect(try one.choose(nil, at: "h:1") == Array("shop".utf8) && one.choose("shop", at: "h:1").count == 4)
        let two = ServedIndexes(.array([index("shop"), index("music")]))
        #expect(try two.choose("music", at: "h:1") == Array("music".utf8))
        for (indexes, name) in [(one, "music"), (two, nil), (ServedIndexes(.array([])), nil)]
            as [(ServedIndexes, String?)]
        {
            let error = #expect(throws: AnnexError.self) { try indexes.choose(name, at: "h:1") }
            #expect(error?.code == .usage && error?.hint?.contains("--index") == true)
        }
    }

    // MARK: Files

    private static func progress(_ folder: TemporaryFolder, _ text: String) throws -> (String, IngestProgress) {
        let path = folder.file("e.tsv")
        try Data(text.utf8).write(to: URL(fileURLWithPath: path))
        let input = try IngestProgress.input(path)
        return (path, IngestProgress(input: input, format: "tsv", server: "h:1", index: "shop", at: 7))
    }

    @Test func progressReadsBackAsWritten() throws {
        let folder = try TemporaryFolder()
        var (path, progress) = try Self.progress(folder, "a\tx\n")
        #expect(try IngestProgress.read(path + ".progress") == nil)
        (progress.lines, progress.acknowledged, progress.rejected, progress.rejectsBytes) = (9, 5, 4, 80)
        try progress.write(path + ".progress")
        try progress.write(path + ".progress")
        #expect(try IngestProgress.read(path + ".progress") == progress)
        #expect(
            try FileManager.default.contentsOfDirectory(atPath: folder.path).sorted() == ["e.tsv", "e.tsv.progress"]
        )
        try progress.check(against: progress, at: path)
        progress.lines = 8
        try progress.write(path + ".progress")
        for text in ["", "{}", "[]", "a\tx\n"] {
            try Data(text.utf8).write(to: URL(fileURLWithPath: path))
            #expect(throws: AnnexError.self) { try IngestProgress.read(path) }
        }
        let error = #expect(throws: AnnexError.self) { try IngestProgress.read(path + ".progress") }
        #expect(error?.hint?.contains("--progress") == true, "more events and rejects than lines")
    }

    @Test func anotherInputIsNoticed() throws {
        let folder = try TemporaryFolder()
        let long = String(repeating: "a\tx\n", count: 60_000)
        let progress = try Self.progress(folder, long).1
        #expect(try Self.progress(folder, long).1 == progress)
        for text in [long + "\n", "b" + long.dropFirst(), long.dropLast(2) + "y\n", ""] {
            let other = try Self.progress(folder, text).1
            let error = #expect(throws: AnnexError.self) { try progress.check(against: other, at: "p") }
            #expect(error?.code == .usage && error?.message.contains("file is another") == true)
        }
        for change in [\IngestProgress.server, \.index, \.format] {
            var other = progress
            other[keyPath: change] = "z"
            #expect(throws: AnnexError.self) { try progress.check(against: other, at: "p") }
        }
    }

    @Test func rejectsAreCutToWhatCounts() throws {
        let folder = try TemporaryFolder()
        let path = folder.file("r.tsv")
        func content() throws -> String { Self.text(Array(try Data(contentsOf: URL(fileURLWithPath: path)))) }
        do {
            let rejects = try IngestRejects(path, keeping: 0)
            try rejects.append(Array("1\tbad\tx\n".utf8))
            try rejects.append(Array("2\tbad\ty\n".utf8))
            #expect(
                try content() == IngestRejects.heading + "1\tbad\tx\n2\tbad\ty\n"
                    && rejects.bytes == content().utf8.count
            )
            let error = #expect(throws: AnnexError.self) { try IngestRejects(path, keeping: 0) }
            #expect(error?.code == .busy)
        }
        do {
            let rejects = try IngestRejects(path, keeping: IngestRejects.heading.utf8.count + 8)
            #expect(try content() == IngestRejects.heading + "1\tbad\tx\n")
            rejects.removeIfEmpty()
            try rejects.append(Array("3\tbad\tz\n".utf8))
            #expect(try content() == IngestRejects.heading + "1\tbad\tx\n3\tbad\tz\n")
        }
        #expect(throws: AnnexError.self) { try IngestRejects(path, keeping: 1_000) }
        do { try IngestRejects(path, keeping: 0).removeIfEmpty() }
        #expect(!FileManager.default.fileExists(atPath: path))
        try Data("precious\n".utf8).write(to: URL(fileURLWithPath: path))
        let error = #expect(throws: AnnexError.self) { try IngestRejects(path, keeping: 0) }
        #expect(error?.code == .usage && (try? content()) == "precious\n")
    }
}

import AnnexCore
import AnnexStore
import AnnexTestSupport
import Foundation
import Synchronization
import Testing

/// Disks that fill up, fail or refuse.
@Suite struct StateFailureTests {
    /// What the disk does.
    private final class Disk: Sendable {
        let status = Atomic<Int32>(0)
        let percent = Atomic<Int>(50)
        let hasSpace = Atomic<Bool>(true)
        let milliseconds = Atomic<Int>(0)

        var system: StateSystem {
            var system = StateSystem()
            system.commit = { _ in self.status.load(ordering: .relaxed) }
            system.fullness = { _ in Double(self.percent.load(ordering: .relaxed)) / 100 }
            system.hasSpace = { _ in self.hasSpace.load(ordering: .relaxed) }
            system.now = { .milliseconds(self.milliseconds.load(ordering: .relaxed)) }
            return system
        }
    }

    private let folder: TemporaryFolder
    private let disk = Disk()
    private let store: StateStore
    private let reader: StateReader
    private let user: Identifier

    init() throws {
        self.folder = try TemporaryFolder()
        self.store = try StateStore(self.folder.path, settings: StateSettings(), system: self.disk.system)
        self.reader = try self.store.makeReader()
        self.user = try identifier("u")
        #expect(try self.event(0) == .added)
    }

    private func event(_ time: Int64) throws -> StateOutcome {
        try self.store.apply(.event(user: self.user, item: self.user, weight: 1, time: time))
    }

    private var events: [Int64] { get throws { try self.reader.user(self.user).events.map(\.time) } }

    /// Everything that was acknowledged, and nothing else, is there when the file is opened again.
    private func expectAfterReopening(_ times: [Int64]) throws {
        self.store.close()
        let copy = try TemporaryFolder()
        try FileManager.default.copyItem(atPath: self.folder.file("state.lmdb"), toPath: copy.file("state.lmdb"))
        #expect(try StateStore.inspect(copy.path).damagedRecords == 0)
        let again = try StateStore(copy.path)
        #expect(try again.makeReader().user(self.user).events.map(\.time) == times)
    }

    /// EIO is what LMDB says of a write that was cut short.
    @Test(arguments: [ENOSPC, EDQUOT, EIO]) func aFullDiskRecoversByItself(_ status: Int32) throws {
        self.disk.hasSpace.store(false, ordering: .relaxed)
        self.disk.status.store(status, ordering: .relaxed)
        for time in 1..<4 {
            let error = #expect(throws: AnnexError.self) { try self.event(Int64(time)) }
            #expect(error?.code == .system && error?.location == self.folder.file("state.lmdb"))
            #expect(error?.hint?.contains("space") == true)
            guard case .full = self.store.status else {
                Issue.record("\(self.store.status)")
                return
            }
            #expect(try self.events == [0])
        }
        self.disk.hasSpace.store(true, ordering: .relaxed)
        self.disk.status.store(0, ordering: .relaxed)
        #expect(try self.event(9) == .added)
        #expect(self.store.status == .running)
        #expect(try self.events == [0, 9])
        try self.expectAfterReopening([0, 9])
    }

    /// Refused before there is nothing left; removing and forgetting go on.
    @Test func anAlmostFullDiskTakesNoEvents() throws {
        self.disk.percent.store(94, ordering: .relaxed)
        self.disk.milliseconds.add(150, ordering: .relaxed)
        #expect(try self.event(1) == .added)
        self.disk.percent.store(95, ordering: .relaxed)
        self.disk.milliseconds.add(150, ordering: .relaxed)
        let error = #expect(throws: AnnexError.self) { try self.event(2) }
        #expect(error?.message.contains("95 % full") == true && error?.location == self.folder.path)
        guard case .full = self.store.status else {
            Issue.record("\(self.store.status)")
            return
        }
        let outcome = try self.store.apply(.remove(user: self.user, item: self.user, time: 3))
        #expect(outcome == .removed(wasThere: true))
        guard case .full = self.store.status else {
            Issue.record("\(self.store.status)")
            return
        }
        self.disk.percent.store(10, ordering: .relaxed)
        self.disk.milliseconds.add(150, ordering: .relaxed)
        #expect(try self.event(4) == .added)
        #expect(self.store.status == .running)
        try self.expectAfterReopening([4])
    }

    @Test(arguments: [EIO, EROFS, EBADF]) func afterAFailedWriteNothingIsWritten(_ status: Int32) throws {
        self.disk.status.store(status, ordering: .relaxed)
        let first = #expect(throws: AnnexError.self) { try self.event(1) }
        #expect(first?.message.contains(String(cString: strerror(status))) == true)
        #expect(first?.hint?.contains("start the server again") == true)
        // The disk is well again, but what it has lost in between nobody knows.
        self.disk.status.store(0, ordering: .relaxed)
        let commits = self.store.counts.commits
        let changes: [StateChange] = [
            .event(user: self.user, item: self.user, weight: 1, time: 2),
            .event(user: self.user, item: self.user, weight: 1, time: 0),
            .remove(user: self.user, item: self.user, time: 2),
            .forget(user: self.user, hash: StateModel.hash(self.user), time: 2),
        ]
        for change in changes {
            let error = #expect(throws: AnnexError.self) { try self.store.apply(change) }
            #expect(error == first)
        }
        #expect(self.store.counts.commits == commits)
        #expect(first.map { self.store.status == .failed($0) } == true)
        #expect(try self.events == [0])
        #expect(try self.store.makeReader().user(self.user).events.count == 1)
        try self.expectAfterReopening([0])
    }

    // MARK: The real calls fail

    /// Descriptors of this process for the store's file: those that flush with each write, which LMDB keeps for the
    /// meta pages, and the others.
    private func descriptors(flushing: Bool) throws -> [Int32] {
        let path = self.folder.file("state.lmdb")
        return try FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd").compactMap { name in
            guard let descriptor = Int32(name),
                let target = try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/fd/" + name),
                target == path
            else { return nil }
            return (fcntl(descriptor, F_GETFL) & O_DSYNC != 0) == flushing ? descriptor : nil
        }
    }

    @Test func descriptorsCloseWhenAChildStarts() throws {
        let names = try FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd")
        let own = names.compactMap { Int32($0) }.filter { descriptor in
            let link = "/proc/self/fd/\(descriptor)"
            let target = try? FileManager.default.destinationOfSymbolicLink(atPath: link)
            return target?.hasPrefix(self.folder.path + "/") == true
        }
        // The lock, LMDB's lock, the file, and the file once more for its meta pages.
        #expect(own.count == 4)
        for descriptor in own { #expect(fcntl(descriptor, F_GETFD) & FD_CLOEXEC != 0, "\(descriptor)") }
    }

    /// Every write to the descriptors finds no space while `body` runs.
    private func whileFull(_ descriptors: [Int32], _ body: () throws -> Void) throws {
        let full = open("/dev/full", O_WRONLY | O_CLOEXEC)
        #expect(full >= 0 && !descriptors.isEmpty)
        defer { close(full) }
        let saved = descriptors.map { fcntl($0, F_DUPFD_CLOEXEC, 0) }
        for descriptor in descriptors { #expect(dup2(full, descriptor) == descriptor) }
        defer {
            for (descriptor, copy) in zip(descriptors, saved) {
                dup2(copy, descriptor)
                close(copy)
            }
        }
        try body()
    }

    @Test func pagesThatFindNoSpace() throws {
        try self.whileFull(self.descriptors(flushing: false)) { () throws in
            for time in 1..<4 {
                let error = #expect(throws: AnnexError.self) { try self.event(Int64(time)) }
                #expect(error?.hint?.contains("space") == true)
                #expect(try self.events == [0])
            }
        }
        #expect(try self.event(5) == .added)
        #expect(self.store.status == .running)
        #expect(try self.events == [0, 5])
        try self.expectAfterReopening([0, 5])
    }

    /// LMDB gives the environment up then, for reading too; the store does not.
    @Test func aMetaPageThatFindsNoSpace() throws {
        try self.whileFull(self.descriptors(flushing: true)) { () throws in
            let error = #expect(throws: AnnexError.self) { try self.event(1) }
            #expect(error?.hint?.contains("start the server again") == true)
        }
        #expect(throws: AnnexError.self) { try self.event(2) }
        guard case .failed = self.store.status else {
            Issue.record("\(self.store.status)")
            return
        }
        #expect(try self.events == [0])
        #expect(try self.events == [0])
        #expect(try self.store.makeReader().user(self.user).events.count == 1)
        try self.expectAfterReopening([0])
    }

    // MARK: A file that is damaged

    /// A change that meets a lost page stops the writer: what is written on top of damage is lost with it.
    @Test func damageInsideAChangeStopsTheWriter() throws {
        let folder = try TemporaryFolder()
        var store = try StateStore(folder.path)
        let ill = try identifier("the-user-whose-tree-is-lost")
        _ = store.apply(
            try (0..<400).map { .event(user: ill, item: try identifier("item-\($0)"), weight: 1, time: Int64($0)) }
        )
        _ = try store.apply(.event(user: self.user, item: self.user, weight: 1, time: 1))
        store.close()
        try self.loseTree(of: ill, folder.file("state.lmdb"))
        #expect(throws: AnnexError.self) { try StateStore.inspect(folder.path) }
        var settings = StateSettings()
        settings.pageCheck = .done
        settings.checksRecords = false
        store = try StateStore(folder.path, settings: settings)
        #expect(try store.apply(.event(user: self.user, item: self.user, weight: 1, time: 2)) == .added)
        let commits = store.counts.commits
        let first = #expect(throws: AnnexError.self) {
            try store.apply(.event(user: ill, item: self.user, weight: 1, time: 1_000))
        }
        #expect(first?.code == .damaged && first?.hint?.contains("check-state") == true)
        #expect(first.map { store.status == .failed($0) } == true)
        for time in 3..<6 {
            let error = #expect(throws: AnnexError.self) {
                try store.apply(.event(user: self.user, item: self.user, weight: 1, time: Int64(time)))
            }
            #expect(error == first)
        }
        #expect(store.counts.commits == commits)
        #expect(try store.makeReader().user(self.user).events.map(\.time) == [1, 2])
        store.close()
        print("damageInsideAChangeStopsTheWriter: 1 fault, 4 changes refused")
    }

    /// The check of records meets it as well, without any change.
    @Test func damageThatTheCheckMeetsStopsTheWriter() throws {
        let folder = try TemporaryFolder()
        var store = try StateStore(folder.path)
        let ill = try identifier("the-user-whose-tree-is-lost")
        _ = store.apply(
            try (0..<400).map { .event(user: ill, item: try identifier("item-\($0)"), weight: 1, time: Int64($0)) }
        )
        store.close()
        try self.loseTree(of: ill, folder.file("state.lmdb"))
        var settings = StateSettings()
        settings.pageCheck = .done
        let notices = Mutex<[String]>([])
        settings.notice = { text in notices.withLock { $0.append(text) } }
        store = try StateStore(folder.path, settings: settings)
        store.waitUntilChecked()
        #expect(!store.counts.isChecked)
        #expect(throws: AnnexError.self) {
            try store.apply(.event(user: self.user, item: self.user, weight: 1, time: 1))
        }
        #expect(notices.withLock { $0.count } == 1)
        print("damageThatTheCheckMeetsStopsTheWriter: 1 fault")
    }

    /// Makes the root of a user's tree of events, 40 bytes behind the id that has 48 bytes of table behind it, a page that
    /// is nowhere.
    private func loseTree(of user: Identifier, _ path: String) throws {
        var data = try Data(contentsOf: URL(fileURLWithPath: path))
        var from = data.startIndex
        var lost = 0
        while let range = data.range(of: Data(user.bytes), in: from..<data.endIndex) {
            from = range.upperBound
            let header = data[(range.lowerBound - 8)..<range.lowerBound]
            guard Array(header) == [48, 0, 0, 0, 6, 0, UInt8(user.bytes.count), 0] else { continue }
            data.replaceSubrange(from + 40..<from + 48, with: [0xff, 0xff, 0xff, 0, 0, 0, 0, 0])
            lost += 1
        }
        #expect(lost > 0)
        try data.write(to: URL(fileURLWithPath: path))
    }
}

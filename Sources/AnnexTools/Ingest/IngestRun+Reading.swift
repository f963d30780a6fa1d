import AnnexCore
import NIOCore

extension IngestRun {
    /// So many lines are read before connections get their turn again.
    private static let linesAtATime = 256
    /// Bytes of rejects that are not written yet, above which it waits for them.
    private static let rejectBytes = 1 << 20

    /// Reads as long as there is room.
    func readOn() {
        guard !self.isReading, !self.isAtEnd, self.maySend, self.window.hasRoom else { return }
        // It comes back from the save.
        guard self.window.rejects.count < Self.rejectBytes else {
            if !self.isSaving { self.save() }
            return
        }
        self.isReading = true
        self.eventLoop.execute {
            self.isReading = false
            self.readSome()
            self.readOn()
        }
    }

    private func readSome() {
        var count = 0
        while count < Self.linesAtATime, self.maySend, self.window.hasRoom {
            count += 1
            do throws(AnnexError) {
                guard let line = try self.source.next() else { return self.endOfFile() }
                self.take(line)
            } catch { return self.fail(error) }
        }
        self.checkRejects()
    }

    private func endOfFile() {
        guard self.left == 0 else {
            let text = "the file ends \(self.left) lines before what was done"
            return self.fail(AnnexError(.badInput, text, at: self.settings.progressFile))
        }
        self.isAtEnd = true
        self.checkRejects()
        self.endIfDone()
    }

    private func take(_ line: IngestLine) {
        var line = line
        if case .event(var event) = line.content, event.time == nil {
            // Lines that are passed over get a time too: those of the same user that follow count from theirs.
            event.time = self.clock.stamp(event.user)
            line.content = .event(event)
        }
        guard self.left == 0 else {
            self.left -= 1
            return
        }
        guard let lane = self.window.add(line) else { return }
        self.lanes[lane].proceed()
    }
}
